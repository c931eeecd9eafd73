# SPDX-License-Identifier: GPL-2.0-or-later
"""What was recorded in a run, read from the logs into plain data.

Nothing here judges: the verdict (verdict.py) and the picture (picture.py) are
made from this data alone, so both can be made again from a run's records.json.
"""
import re

FIELD = re.compile(r"([a-z0-9_-]+)=(\S*)")
KERNEL_TROUBLE = re.compile(
    r"DMAR: .*(fault|Fault|ERROR|error)|BUG:|Oops|Call Trace|WARNING:|Kernel panic|"
    r"nvme .*(timeout|Timeout|controller is down|I/O error)|I/O error, dev|rcu: INFO|"
    r"VT-d detected|arm-smmu-v3 .*(event|EVTQ|CMDQ(?!V device)|GERROR|timeout|error)")


def _lines(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def parse_report(line):
    """Split a report line 'UPTIME [l2 UPTIME] WORD k=v...' into a dict."""
    parts = line.split()
    entry = {"at": float(parts[0])}
    if parts[1:2] == ["l2"]:
        entry["l2_at"] = float(parts[2]) if _is_number(parts[2:3]) else 0.0
        parts = parts[2:]
    entry["word"] = parts[1] if len(parts) > 1 else ""
    entry["text"] = " ".join(parts[2:])
    entry.update({"f_" + k: v for k, v in FIELD.findall(entry["text"])})
    return entry


def _is_number(parts):
    return bool(parts) and bool(re.fullmatch(r"[0-9.]+", parts[0]))


def read_report(lines):
    """Return the parsed report: L1's own entries, L2's, counts, kernel events."""
    result = {"l1": [], "l2": [], "counts": {}, "order": [], "events": [], "missing_probes": [],
              "pinned": []}
    for line in lines:
        if not _is_number(line.split()[:1]):
            continue
        entry = parse_report(line)
        word = entry["word"]
        if "l2_at" in entry:
            result["l2"].append(entry)
        elif word == "count":
            values = {k: int(v) for k, v in FIELD.findall(entry["text"])
                      if k != "at" and v.isdigit()}
            label = entry["f_at"]
            # The same sync point may come several times: number them.
            times = sum(1 for seen in result["order"] if seen.split("#")[0] == label)
            label = label if not times else "%s#%d" % (label, times + 1)
            result["counts"][label] = values
            result["order"].append(label)
        elif word == "memory":
            result["pinned"].append(int(entry["f_pinned"]))
        elif word == "event":
            result["events"].append(entry["text"])
        elif word == "no-probe":
            result["missing_probes"].append(entry["f_name"])
        else:
            result["l1"].append(entry)
    return result


def stream_id(host):
    """Return the 16-bit source id of '0000:01:00.0'."""
    bus, slot, function = re.fullmatch(r"[0-9a-f]+:([0-9a-f]+):([0-9a-f]+)\.(\d)", host).groups()
    return int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)


# Where L3 has its memory, which its devices reach by these addresses
L3_MEMORY = range(0x40000000, 0x48000000)
# Where the virt machine has GITS_TRANSLATER
ITS_DOORBELL = 0x08090040


def read_l0_trace(path, since):
    """Count what L0's IOMMU did per stream since that moment (Unix time)."""
    streams = {}

    def add(sid, what):
        add_to("0x%x" % sid, what, 1)

    def add_to(key, what, number):
        streams.setdefault(key, {}).setdefault(what, 0)
        streams[key][what] += number

    line_re = re.compile(r"^(?:\d+@(\d+\.\d+):)?((?:vtd|smmuv3|tegra241)_\w+) (.*)$")
    names = {"vtd_nested_translate": "two_stage", "vtd_nested_fault": "faults",
             "vtd_iotlb_page_update": "one_stage", "vtd_dmar_fault": "faults",
             "smmuv3_record_event": "faults"}

    def add_smmuv3(text):
        sid, iova, translated, stage = (
            int(re.search(key + "=(?:0x)?([0-9a-f]+)", text)[1], 16)
            for key in ("sid", "iova", "translated", "stage"))
        # On the way to a doorbell of the ITS, the stages are those of the MSI
        add(sid, "interrupts" if translated >> 12 == ITS_DOORBELL >> 12
            else "two_stage" if stage == 3 else "one_stage")
        if stage == 3 and iova in L3_MEMORY:
            add(sid, "l3_memory")

    def add_ats(event, text):
        fields = dict(FIELD.findall(text))
        # Answers that are a translation; commands, whatever they take away
        if event == "smmuv3_cmdq_atc_inv" or fields["result"] == "0":
            what = "atc_inv" if event == "smmuv3_cmdq_atc_inv" else "ats"
            if fields["ssv"] == "1":
                what += " pasid " + fields["ssid"]
            add(int(fields["sid"], 16), what)

    def add_tables(text):
        # The first one of a CD, which Linux uses alone
        match = re.match(r"TT\[0\]:tsz:(\d+) ttb:\S+ granule_sz:(\d+)", text)
        if match:
            add_to("stage1", "%d bits, granule %d" % (
                64 - int(match[1]), 1 << int(match[2])), 1)

    def add_substream(text):
        sid, pasid, stage = (int(re.search(r"\b%s=(?:0x)?([0-9a-f]+)" % key, text)[1], 16)
                             for key in ("sid", "ssid", "stage"))
        add(sid, "%s pasid 0x%x" % ("two_stage" if stage == 3 else "one_stage", pasid))
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                match = line_re.match(line)
                if not match or (match[1] and float(match[1]) < since):
                    continue
                if match[2] == "vtd_ir_irte_get":
                    # The entry's upper half names the only stream that may use
                    # it; the base's trace calls that half "low".
                    upper = re.search(r"low 0x([0-9a-f]+)", match[3])
                    if upper:
                        add(int(upper[1], 16) & 0xffff, "interrupts")
                elif match[2] == "vtd_prq_post":
                    # Not by stream: several may be posted at once
                    add_to("page_requests", "posted", int(re.search(
                        r"(\d+) posted", match[3])[1]))
                elif match[2] == "vtd_prq_response":
                    add_to("page_requests", "answered", 1)
                elif match[2] == "tegra241_cmdqv_command":
                    # VINTF 0 is the host's own, the others are those of guests
                    command = re.match(r"VINTF (\d+) LVCMDQ \d+: (\S+)", match[3])
                    if command and int(command[1]):
                        add_to("guest_commands", command[2], 1)
                elif match[2] == "smmuv3_translate_success":
                    add_smmuv3(match[3])
                elif match[2] in ("smmuv3_ats_translate", "smmuv3_cmdq_atc_inv"):
                    add_ats(match[2], match[3])
                elif match[2] == "smmuv3_decode_cd_tt":
                    add_tables(match[3])
                elif match[2] == "smmuv3_translate_substream":
                    add_substream(match[3])
                elif match[2] in names:
                    sid = re.search(r"sid[ =]0x([0-9a-f]+)", match[3])
                    if sid:
                        add(int(sid[1], 16), names[match[2]])
                    pasid = re.search(r"pasid 0x([0-9a-f]+)", match[3])
                    if sid and pasid and int(pasid[1], 16):
                        add(int(sid[1], 16), "%s pasid 0x%x" % (
                            names[match[2]], int(pasid[1], 16)))
    except OSError:
        pass
    return streams


# Lines of the trace of the QEMU under test, by event.
QUT_EVENTS = {
    "iommufd_cdev_connect_and_bind": r"device (?P<name>\S+) .*devid=(?P<devid>\d+)",
    "iommufd_cdev_attach_ioas_hwpt": r"device (?P<name>\S+) .*to id=(?P<id>\d+)",
    "iommufd_backend_alloc_ioas": r"ioas=(?P<ioas>\d+)",
    "iommufd_backend_alloc_hwpt": r"dev_id=(?P<devid>\d+) pt_id=(?P<parent>\d+) "
        r"flags=0x(?P<flags>[0-9a-f]+) hwpt_type=(?P<type>\d+) .*out_hwpt=(?P<id>\d+) "
        r"\((?P<ret>-?\d+)\)",
    "iommufd_backend_map_dma": r"ioas=(?P<ioas>\d+) iova=0x(?P<iova>[0-9a-f]+) "
        r"size=0x(?P<size>[0-9a-f]+) .*readonly=(?P<ro>\d) \((?P<ret>-?\d+)\)",
    "iommufd_backend_copy_dma": r"dst_ioas=(?P<ioas>\d+) dst_iova=0x(?P<iova>[0-9a-f]+) "
        r"size=0x(?P<size>[0-9a-f]+) .*readonly=\d \((?P<ret>-?\d+)\)",
    "iommufd_backend_unmap_dma": r"ioas=(?P<ioas>\d+) iova=0x(?P<iova>[0-9a-f]+) "
        r"size=0x(?P<size>[0-9a-f]+) \((?P<ret>-?\d+)\)",
    "iommufd_backend_free_id": r" id=(?P<id>\d+) \((?P<ret>-?\d+)\)",
    "iommufd_backend_invalidate_cache": r" id=(?P<id>\d+) .*entry_num=(?P<num>\d+) "
        r"handled=(?P<done>\d+) \((?P<ret>-?\d+)\)",
    "vtd_accel_s1_alloc": r"s1_hwpt=(?P<id>\d+) s2_hwpt=(?P<s2>\d+) domain=(?P<domain>\d+) "
        r"pasid=0x(?P<pasid>[0-9a-f]+) pgtbl=0x(?P<pgtbl>[0-9a-f]+) "
        r"addr_width=(?P<width>\d+) flags=0x(?P<flags>[0-9a-f]+)",
    "vtd_accel_attach_tables": r"(?P<name>\S+) pasid=0x(?P<pasid>[0-9a-f]+) "
        r"domain=(?P<domain>\d+) hwpt=(?P<id>\d+) on=(?P<on>\d+)",
    "vtd_accel_attach_s2": r"(?P<name>\S+) pasid=\S+ s2_hwpt=(?P<s2>\d+)",
    "vtd_accel_block": r"(?P<name>\S+) pasid=0x(?P<pasid>[0-9a-f]+)",
    "iommufd_backend_alloc_viommu": r"hwpt_id=(?P<s2>\d+) viommu_id=(?P<id>\d+) "
        r"\((?P<ret>-?\d+)\)",
    "smmuv3_accel_s1": r"(?P<name>\S+) sid=0x(?P<sid>[0-9a-f]+) hwpt=(?P<id>\d+) "
        r"viommu=(?P<viommu>\d+) ste=0x(?P<ste0>[0-9a-f]+) 0x(?P<ste1>[0-9a-f]+)",
    "smmuv3_accel_abort": r"(?P<name>\S+)",
    "smmuv3_accel_detach": r"(?P<name>\S+)",
}
# Bits of the STE's first word that make the address of the context descriptor
# table (SMMUv3 5.2, S1ContextPtr)
S1_CONTEXT_PTR = 0x000f_ffff_ffff_ffc0


class _Objects:
    """The iommufd objects of the QEMU under test, as its trace tells them."""

    def __init__(self):
        self.ioas, self.s1, self.s2, self.devices = {}, {}, {}, {}
        self.viommus = {}

    def _device(self, name):
        return self.devices.setdefault(name, {"devid": None, "attached": []})

    def bind(self, e):
        self._device(e["name"])["devid"] = int(e["devid"])

    def attach_ioas(self, e):
        self._device(e["name"])["attached"].append({"to": "id", "id": int(e["id"])})

    def alloc_ioas(self, e):
        self.ioas[e["ioas"]] = {"maps": 0, "bytes": 0, "peak_bytes": 0, "freed": False, "live": {}}

    def map_dma(self, e):
        ioas = self.ioas.get(e["ioas"])
        if ioas and e["ret"] == "0":
            ioas["maps"] += 1
            ioas["bytes"] += int(e["size"], 16)
            ioas["live"][int(e["iova"], 16)] = int(e["size"], 16)
            ioas["peak_bytes"] = max(ioas["peak_bytes"], sum(ioas["live"].values()))

    def unmap_dma(self, e):
        ioas = self.ioas.get(e["ioas"])
        if ioas and e["ret"] == "0":
            start, end = int(e["iova"], 16), int(e["iova"], 16) + int(e["size"], 16)
            ioas["live"] = {k: v for k, v in ioas["live"].items() if not start <= k < end}

    def alloc_hwpt(self, e):
        if e["ret"] == "0" and e["type"] == "0":
            self.s2[e["id"]] = {"ioas": int(e["parent"]), "flags": int(e["flags"], 16),
                                "freed": False}

    def keep_aside(self, table, name):
        """The kernel hands ids out again: keep what had this one before."""
        if name in table:
            table["%s (%d)" % (name, len(table))] = table.pop(name)

    def s1_alloc(self, e):
        self.keep_aside(self.s1, e["id"])
        self.s1[e["id"]] = {
            "s2": int(e["s2"]), "domain": int(e["domain"]), "pasid": int(e["pasid"], 16),
            "pgtbl": int(e["pgtbl"], 16), "width": int(e["width"]),
            "flags": int(e["flags"], 16), "calls": 0, "entries": 0, "failed": 0,
            "freed": False}

    def attach_tables(self, e):
        """To an S1, or to a copy of second-level tables, which is not recorded."""
        if not self.s1.get(e["id"], {"freed": True})["freed"]:
            self._device(e["name"])["attached"].append({"to": "s1", "id": int(e["id"])})

    def attach_s2(self, e):
        self._device(e["name"])["attached"].append({"to": "s2", "id": int(e["s2"])})

    def alloc_viommu(self, e):
        if e["ret"] == "0":
            self.keep_aside(self.viommus, e["id"])
            self.viommus[e["id"]] = {"s2": int(e["s2"]), "calls": 0, "entries": 0,
                                     "failed": 0, "freed": False}

    def s1_of_ste(self, e):
        """SMMUv3: the S1 belongs to a vIOMMU, which takes its invalidations."""
        viommu = self.viommus.get(e["viommu"], {"s2": 0})
        self.keep_aside(self.s1, e["id"])
        self.s1[e["id"]] = {
            "s2": viommu["s2"], "viommu": int(e["viommu"]), "sid": int(e["sid"], 16),
            "pgtbl": int(e["ste0"], 16) & S1_CONTEXT_PTR, "ste": [e["ste0"], e["ste1"]],
            "calls": 0, "entries": 0, "failed": 0, "freed": False}
        self._device(e["name"])["attached"].append({"to": "s1", "id": int(e["id"])})

    def block(self, e):
        self._device(e["name"])["attached"].append({"to": "blocked", "id": 0})

    def invalidate(self, e):
        target = self.viommus.get(e["id"]) or self.s1.get(e["id"])
        if target:
            target["calls"] += 1
            target["entries"] += int(e["done"])
            target["failed"] += e["ret"] != "0"

    def free(self, e):
        for table in (self.ioas, self.s2, self.s1, self.viommus):
            if e["id"] in table and e["ret"] == "0":
                table[e["id"]]["freed"] = True

    HANDLERS = {
        "iommufd_cdev_connect_and_bind": bind,
        "iommufd_cdev_attach_ioas_hwpt": attach_ioas,
        "iommufd_backend_alloc_ioas": alloc_ioas,
        "iommufd_backend_alloc_hwpt": alloc_hwpt,
        "iommufd_backend_map_dma": map_dma,
        "iommufd_backend_copy_dma": map_dma,
        "iommufd_backend_unmap_dma": unmap_dma,
        "iommufd_backend_free_id": free,
        "iommufd_backend_invalidate_cache": invalidate,
        "vtd_accel_s1_alloc": s1_alloc,
        "vtd_accel_attach_tables": attach_tables,
        "vtd_accel_attach_s2": attach_s2,
        "vtd_accel_block": block,
        "iommufd_backend_alloc_viommu": alloc_viommu,
        "smmuv3_accel_s1": s1_of_ste,
        "smmuv3_accel_abort": block,
        "smmuv3_accel_detach": block,
    }


def read_qut_log(lines):
    """Return (objects, lines that are no trace: errors and warnings)."""
    objects, other = _Objects(), []
    patterns = {name: re.compile(text) for name, text in QUT_EVENTS.items()}
    for line in lines:
        name, _, rest = line.partition(" ")
        if name in patterns:
            match = patterns[name].search(" " + rest)
            if match:
                _Objects.HANDLERS[name](objects, match.groupdict())
        elif not re.match(r"(iommufd_|vtd_|smmuv3_|iommu_)", name):
            other.append(line)
    for ioas in objects.ioas.values():
        ioas["live_bytes"] = sum(ioas["live"].values())
        ioas["live"] = len(ioas["live"])
    return ({"ioas": objects.ioas, "s2": objects.s2, "s1": objects.s1,
             "viommus": objects.viommus, "devices": objects.devices}, other)


def read_cases(lines):
    """What became of each case of the test programs that ran in L1 (TAP): "ok",
    "skip" or "not ok", and why."""
    cases, said = {}, []
    for line in lines:
        match = re.match(r"(not ok|ok) \d+ (\S+)(?: # SKIP (.*))?", line)
        if match:
            outcome = "skip" if match[3] is not None else match[1]
            more = " and %d more" % (len(said) - 1) if len(said) > 1 else ""
            cases[match[2]] = {"outcome": outcome, "why": match[3] or "".join(said[:1]) + more}
            said = []
        elif line.startswith("# ERROR:") and "code should not be reached" not in line:
            said.append(line.rpartition("/")[2])
    return cases


def read_qut_commands(lines):
    """Count the commands in the guest's SMMUv3 queue by name, if traced."""
    found = {}
    for line in lines:
        match = re.match(r"smmuv3_cmdq_opcode <--- (\S+)", line)
        if match:
            found[match[1]] = found.get(match[1], 0) + 1
    return found


def read_qut_walks(lines):
    """Count the pages that the QEMU under test looked up in guest tables itself,
    per requester id of its own machine."""
    walks = {}
    for line in lines:
        match = re.match(r"vtd_iotlb_page_update .*sid 0x([0-9a-f]+)", line)
        if match:
            sid = "0x%x" % int(match[1], 16)
            walks[sid] = walks.get(sid, 0) + 1
    return walks


def trouble(lines):
    """Return the lines of a kernel log that tell of something gone wrong."""
    return [line.strip() for line in lines if KERNEL_TROUBLE.search(line)]


def collect(files, since):
    """Read a run's log files into one record."""
    qut_log = _lines(files["qut"])
    objects, other = read_qut_log(qut_log)
    report = read_report(_lines(files["report"]))
    devices = [{"index": int(e["f_index"]), "host": e["f_host"],
                "sid": "0x%x" % stream_id(e["f_host"])}
               for e in report["l1"] if e["word"] == "device" and ":" in e.get("f_host", "")]
    status = [e["f_status"] for e in report["l1"] if e["word"] == "qut-exit"]
    return {
        "report": report, "devices": devices, "objects": objects,
        "qut_status": int(status[-1]) if status else None,
        "qut_messages": other[-20:],
        "cases": read_cases(qut_log),
        # What a program that L1 ran by itself has to say, as L2 would
        "sva": [parse_report("0 " + line) for line in qut_log if line.startswith("sva ")]
               + [entry for entry in report["l2"] if entry["word"] == "sva"],
        "qut_walks": read_qut_walks(qut_log),
        "qut_commands": read_qut_commands(qut_log),
        "l0": read_l0_trace(files["trace"], since),
        "l1_trouble": trouble(_lines(files["l1_log"])),
        "l2_trouble": trouble(_lines(files["l2_log"])),
        "timeout": None,
    }
