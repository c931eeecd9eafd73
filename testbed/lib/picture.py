# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture in text of what was built in the host, from recorded data only."""
from lib.records import S1_CONTEXT_PTR


def _plural(number, word):
    return "%d %s%s" % (number, word, "" if number == 1 else "s")


def _kernel_tables(record):
    """Guest table addresses that L1's kernel saw in its own arguments."""
    found = set()
    for event in record["report"]["events"]:
        for word in event.split():
            key, _, value = word.partition("=")
            if key == "pgtbl":
                found.add(int(value, 16))
            elif key == "ste0":
                found.add(int(value, 16) & S1_CONTEXT_PTR)
    return found


def _invalidations(target):
    return "%s with %s%s" % (
        _plural(target["calls"], "invalidation call"),
        "1 entry" if target["entries"] == 1 else "%d entries" % target["entries"],
        ", %d refused" % target["failed"] if target["failed"] else "")


def _stage1_smmuv3(name, s1, objects, seen_by_kernel):
    viommu = objects["viommus"].get(str(s1["viommu"]))
    return [
        "S1 HWPT %s   guest context descriptors 0x%x, StreamID 0x%x in the guest%s%s" % (
            name.split(" ")[0], s1["pgtbl"], s1["sid"], "   (freed)" if s1["freed"] else "",
            "; the kernel saw the same" if s1["pgtbl"] in seen_by_kernel else ""),
        "            vIOMMU %d%s" % (
            s1["viommu"], ": " + _invalidations(viommu) if viommu else "")]


def _stage1(name, s1, objects, seen_by_kernel):
    if "viommu" in s1:
        return _stage1_smmuv3(name, s1, objects, seen_by_kernel)
    lines = ["S1 HWPT %s   guest table 0x%x, %d-bit, domain %d, %s, flags 0x%x%s" % (
        name.split(" ")[0], s1["pgtbl"], s1["width"], s1["domain"],
        "RID" if s1["pasid"] == 0 else "PASID 0x%x" % s1["pasid"], s1["flags"],
        "   (freed)" if s1["freed"] else "")]
    lines.append("            %s%s" % (
        _invalidations(s1),
        "; the kernel saw the same table" if s1["pgtbl"] in seen_by_kernel else ""))
    return lines


def _stage2(name, objects):
    s2 = objects["s2"].get(name)
    if not s2:
        return ["id %s" % name]
    flags = " (nesting parent)" if s2["flags"] & 1 else ""
    lines = ["S2 HWPT %s%s" % (name, flags)]
    ioas = objects["ioas"].get(str(s2["ioas"]))
    text = "IOAS %d" % s2["ioas"]
    if ioas:
        text += "      %s, at most %d MiB at a time" % (
            _plural(ioas["maps"], "mapping"), ioas["peak_bytes"] >> 20)
    lines.append("   └─ " + text)
    return lines


def render(record):
    """Return the picture's lines; what was not recorded is not in it."""
    objects, seen = record["objects"], _kernel_tables(record)
    lines = []
    drawn = set()
    hosts = {d["host"]: d for d in record["devices"]}
    for name, device in objects["devices"].items():
        host = hosts.get(name, {})
        lines.append("device %s%s   iommufd devid %s" % (
            name, " (stream %s)" % host["sid"] if host else "", device["devid"]))
        s1_names = [n for n, s1 in objects["s1"].items()
                    if {"to": "s1", "id": int(n.split(" ")[0])} in device["attached"]]
        parents = sorted({str(a["id"]) for a in device["attached"]
                          if a["to"] == "s2" or str(a["id"]) in objects["s2"]}
                         | {str(objects["s1"][n]["s2"]) for n in s1_names})
        for s1_name in s1_names:
            first, *rest = _stage1(s1_name, objects["s1"][s1_name], objects, seen)
            lines.append("├─ " + first)
            lines.extend("│" + line[1:] for line in rest)
        for parent in parents:
            if parent in drawn:
                lines.append("└─ S2 HWPT %s, the same as above" % parent)
            else:
                first, *rest = _stage2(parent, objects)
                lines.append("└─ " + first)
                lines.extend("   " + line for line in rest)
                drawn.add(parent)
    counts = record["report"]["counts"].get("end")
    if counts:
        lines.append("L1's kernel counted: " + ", ".join(
            "%s %d" % (k.replace("_", " "), counts[k]) for k in sorted(counts)))
    return lines or ["nothing: no device reached iommufd"]
