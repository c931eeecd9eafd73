# SPDX-License-Identifier: GPL-2.0-or-later
"""The verdict: named checks over a run's record.

A check returns (holds, evidence).  It holds only because of something that was
recorded, never because nothing bad was: a check without data does not hold.
"""
import re

from lib import devices, disks, records

CHECKS = {}


def check(function):
    """Register a check under its function's name."""
    CHECKS[function.__name__] = function
    return function


def _l2(record, word):
    return [entry for entry in record["report"]["l2"] if entry["word"] == word]


def _final_counts(record):
    return record["report"]["counts"].get("end", {})


def _limit(scenario, name, default):
    return scenario["limits"].get(name, default)


def _per_stream(record, what):
    """Return {sid: count} for the passed-through devices."""
    return {d["sid"]: record["l0"].get(d["sid"], {}).get(what, 0) for d in record["devices"]}


@check
def l2_finished(record, _scenario):
    """L2 came to the end of its program."""
    if record["timeout"]:
        return False, record["timeout"]
    ends = _l2(record, "end")
    if not ends:
        return False, "L2 never came to its end" + _said(record)
    failed = _l2(record, "failed")
    if failed:
        return False, "L2: " + failed[-1]["text"]
    return ends[-1].get("f_status") == "0", "L2's program ended with status %s after %.1f s" % (
        ends[-1].get("f_status"), ends[-1]["l2_at"])


def _said(record):
    errors = [text for text in record["qut_messages"] if "warning:" not in text]
    return "; QEMU: " + " / ".join(errors[-3:]) if errors else ""


@check
def l2_kernel(record, scenario):
    """L2 ran the kernel that the scenario is about."""
    found = {entry.get("f_kernel", "") for entry in _l2(record, "boot")}
    wanted = _limit(scenario, "kernel", "")
    return (bool(wanted and found) and all(re.match(wanted, name) for name in found),
            "L2 ran Linux %s, wanted is %s" % (", ".join(sorted(found)) or "not at all", wanted))


@check
def l2_pages(record, scenario):
    """L2's kernel has pages of the size that the scenario is about, and where limits.lva
    says so virtual addresses of 52 bits."""
    boots = _l2(record, "boot")
    wanted = str(_limit(scenario, "page", 4096)), str(_limit(scenario, "lva", 0))
    found = {(entry.get("f_page"), entry.get("f_lva")) for entry in boots}
    return found == {wanted}, ", ".join(
        "pages of %s bytes%s" % (page, ", virtual addresses of 52 bits" * (lva == "1"))
        for page, lva in sorted(found, key=str)) or "L2 never booted"


@check
def l0_tables(record, scenario):
    """The stage-1 tables that L0 walked for L2 were of that shape, and of no other."""
    found, wanted = sorted(record["l0"].get("stage1", {})), _limit(scenario, "tables", "")
    return found == [wanted], "stage-1 tables: %s" % ("; ".join(found) or "none")


@check
def qut_exit(record, _scenario):
    """The QEMU under test ended by itself, with status 0."""
    status = record["qut_status"]
    if status is None:
        return False, "the QEMU under test did not exit" + _said(record)
    return status == 0, "exit status %d%s" % (status, _said(record) if status else "")


@check
def qut_warned(record, scenario):
    """The QEMU under test warned of what limits.warning says, once."""
    wanted = _limit(scenario, "warning", "")
    said = [text for text in record["qut_messages"] if wanted and wanted in text]
    return len(said) == 1, said[0] if said else "nothing said of: " + wanted


@check
def host_check(record, _scenario):
    """viommu-host-check finds L1's devices ready to be nested."""
    entries = [entry for entry in record["report"]["l1"] if entry["word"] == "host-check"]
    text = "; ".join(entry["text"] for entry in entries)
    ready = [entry for entry in entries
             if entry["f_status"] == "0" and ": ready" in entry["text"]]
    return len(entries) == len(record["devices"]) > 0 and ready == entries, text or "not run"


@check
def contract_kept(record, scenario):
    """L1's kernel did what fakehost does in its stead, in so many cases."""
    cases, wanted = record["cases"], _limit(scenario, "cases", 0)
    by = {outcome: [name for name, case in cases.items() if case["outcome"] == outcome]
          for outcome in ("ok", "not ok", "skip")}
    text = "%d cases held on the real kernel, %d wanted; %d need what only fakehost has" % (
        len(by["ok"]), wanted, len(by["skip"]))
    text += "".join("; %s: %s" % (name, cases[name]["why"]) for name in by["not ok"])
    return wanted > 0 and len(by["ok"]) == wanted and not by["not ok"], text


@check
def l2_hash(record, scenario):
    """What L2 read by DMA is what the disk holds: by hash and by block."""
    return _hash(record, scenario, "L2", _l2(record, "read"))


def _hash(record, scenario, level, reads):
    serials = sorted(record["disks"])
    wanted_disks = scenario["devices"].count("nvme")
    if not wanted_disks or len(serials) != wanted_disks:
        return False, "%d disks recorded, %d wanted" % (len(serials), wanted_disks)
    for serial in serials:
        wanted = record["disks"][serial]["sha256"]
        mine = [r for r in reads if r.get("f_disk") == serial]
        if not mine:
            return False, "%s read nothing from %s" % (level, serial)
        for entry in mine:
            got = entry.get("f_sha256", "")
            if wanted == disks.EMPTY_SHA256 or got == disks.EMPTY_SHA256:
                return False, "%s: the hash is that of no data" % serial
            if got != wanted:
                return False, "%s: %s read %s (%s), L0 has %s" % (
                    serial, level, got[:16] or "nothing", entry["text"].partition(" sha256=")[2][65:],
                    wanted[:16])
            if entry.get("f_bad") != "0" or entry.get("f_blocks") != str(disks.DATA_BLOCKS):
                return False, "%s: %s" % (serial, entry["text"])
    return True, "%d reads of %s, sha256 %s, same as L0's" % (
        len(reads), " and ".join(serials),
        " and ".join(record["disks"][s]["sha256"][:16] for s in serials))


@check
def l2_write(record, scenario):
    """What L2 wrote by DMA is in L0's image."""
    return _written(record, scenario, "L2", _l2(record, "write"), _l2(record, "write-error"))


def _written(record, scenario, level, writes, errors):
    if errors:
        return False, "%s: %s" % (level, errors[0]["text"])
    wanted = scenario["devices"].count("nvme")
    if not wanted or len({w.get("f_disk") for w in writes}) != wanted:
        return False, "%s wrote to %d of %d disks" % (
            level, len({w.get("f_disk") for w in writes}), wanted)
    for entry in writes:
        disk = record["disks"].get(entry["f_disk"], {"slots": []})
        if int(entry["f_slot"]) not in disk["slots"]:
            return False, "slot %s of %s is not in L0's image" % (
                entry["f_slot"], entry["f_disk"])
    return True, "%d writes of %d KiB found in L0's images" % (
        len(writes), disks.SLOT_BLOCKS * disks.BLOCK // 1024)


@check
def no_faults(record, _scenario):
    """L1's and L2's kernels had nothing to complain about."""
    if not record["report"]["l1"]:
        return False, "L1 never reported"
    lines = record["l1_trouble"] + record["l2_trouble"]
    return not lines, lines[0] if lines else "no IOMMU fault, time-out or warning in L1's and L2's logs"


@check
def l0_interrupts(record, _scenario):
    """L0 remapped interrupts of every passed-through device."""
    return _every(_per_stream(record, "interrupts"), "interrupts of stream")


@check
def l0_two_stages(record, _scenario):
    """L0 translated every device's DMA through both stages."""
    return _every(_per_stream(record, "two_stage"), "two-stage translations of stream")


@check
def l0_faulted(record, _scenario):
    """L0's SMMU recorded faults of every passed-through device."""
    return _every(_per_stream(record, "faults"), "faults of stream")


@check
def l0_stage2_only(record, _scenario):
    """L0 translated every device's DMA, and through one stage only."""
    two = _per_stream(record, "two_stage")
    holds, evidence = _every(_per_stream(record, "one_stage"), "one-stage translations of stream")
    return holds and not any(two.values()), "%s; two-stage %d" % (evidence, sum(two.values()))


def _every(counts, what):
    text = ", ".join("%s %s: %d" % (what, sid, n) for sid, n in sorted(counts.items()))
    return bool(counts) and all(counts.values()), text or "no device recorded"


@check
def l1_nested(record, scenario):
    """L1's kernel made nested domains, attached them, took invalidations."""
    if record["report"]["missing_probes"]:
        return False, "L1's kernel has no " + ", ".join(record["report"]["missing_probes"])
    counts = _final_counts(record)
    wanted = ("nested_alloc", "nested_attach", "nested_invalidate")
    if scenario["arch"] == "arm64":
        wanted = ("vsmmu_init",) + wanted
    return (all(counts.get(name, 0) > 0 for name in wanted),
            ", ".join("%s %s" % (name, counts.get(name, "never counted")) for name in wanted))


@check
def l1_not_nested(record, _scenario):
    """L1's kernel made no nested domain, although it could tell."""
    counts = _final_counts(record)
    return (counts.get("nested_alloc") == 0 and counts.get("hwpt_alloc", 0) > 0,
            "nested_alloc %s, hwpt_alloc %s" % (counts.get("nested_alloc", "never counted"),
                                                counts.get("hwpt_alloc", "never counted")))


@check
def l1_shadowed(record, scenario):
    """Tables of the guest were copied into an IOAS besides that of its memory,
    map by map and unmap by unmap, and L1's kernel was asked for no fewer."""
    objects = record["objects"]
    copies = {hwpt["ioas"] for hwpt in objects["s2"].values() if not hwpt["flags"] & 1}
    own = [ioas for number, ioas in objects["ioas"].items() if int(number) in copies]
    maps = sum(ioas["maps"] for ioas in own)
    gone = maps - sum(ioas["live"] for ioas in own)
    calls = sum(_final_counts(record).get(name, 0) for name in ("ioas_map", "ioas_copy"))
    wanted = _limit(scenario, "maps", 100)
    text = "copied %d mappings into %d IOAS, %d gone again; L1's kernel was asked for %d" % (
        maps, len(own), gone, calls)
    return (len(own) == 1 and maps >= wanted and gone >= _limit(scenario, "unmaps", wanted // 2)
            and calls >= maps), text


@check
def l1_pinned_once(record, scenario):
    """L1's kernel has pinned no more for the QEMU under test than what is mapped
    in the IOAS of guest memory to the end, while another one has mappings, too."""
    objects, pinned = record["objects"], record["report"]["pinned"]
    guest = {hwpt["ioas"] for hwpt in objects["s2"].values() if hwpt["flags"] & 1}
    mapped = sum(ioas["live_bytes"] for number, ioas in objects["ioas"].items()
                 if int(number) in guest) >> 10
    others = sum(ioas["maps"] for number, ioas in objects["ioas"].items()
                 if int(number) not in guest)
    text = "pinned %s KiB, guest memory's IOAS has %d KiB; %d mappings elsewhere" % (
        ", ".join(str(kib) for kib in pinned) or "unknown", mapped, others)
    return (bool(pinned) and 0 < min(pinned) and max(pinned) <= mapped and
            others >= _limit(scenario, "maps", 100)), text


@check
def l1_no_stage1(record, _scenario):
    """L1's kernel made nested domains, none of which has a stage 1 (SMMUv3:
    that of a guest's bypass is a nested domain too)."""
    found = [re.search(r"ste0=0x([0-9a-f]+)", text) for text in record["report"]["events"]]
    configs = [int(match[1], 16) >> 1 & 7 for match in found if match]
    # STE.Config (SMMUv3 5.2): 0b1x1 has a stage 1
    stage1 = sum(1 for config in configs if config & 5 == 5)
    return bool(configs) and not stage1, "%d of %d nested domains with a stage 1" % (
        stage1, len(configs))


@check
def l1_cd_table(record, scenario):
    """The guest's CD table, as L1's kernel was given it, is for that many bits of
    PASIDs, in that many levels."""
    wanted = _limit(scenario, "cd_bits", 0), _limit(scenario, "cd_levels", 1)
    found = [re.search(r"ste0=0x([0-9a-f]+)", text) for text in record["report"]["events"]]
    # S1CDMax and S1Fmt of entries with a stage 1 (SMMUv3 5.2)
    tables = sorted({(ste >> 59, 2 if ste >> 4 & 3 else 1)
                     for ste in (int(match[1], 16) for match in found if match)
                     if ste >> 1 & 5 == 5})
    return tables == [wanted], "CD tables: %s" % (
        ", ".join("%d bits in %d level(s)" % table for table in tables) or "none")


@check
def l0_by_pasid(record, scenario):
    """L0 translated the PASID's requests through both stages."""
    pasid = _limit(scenario, "pasid", 0)
    return _every(_per_stream(record, "two_stage pasid 0x%x" % pasid),
                  "two-stage translations by PASID 0x%x of stream" % pasid)


@check
def l1_eats(record, _scenario):
    """The guest lets its device use ATS, as L1's kernel was given its entries."""
    found = [re.search(r"ste0=0x([0-9a-f]+) ste1=0x([0-9a-f]+)", text)
             for text in record["report"]["events"]]
    # EATS of entries with a stage 1 (SMMUv3 5.2)
    eats = sorted({int(match[2], 16) >> 28 & 3 for match in found
                   if match and int(match[1], 16) >> 1 & 5 == 5})
    return eats == [1], "EATS of entries with stage 1: %s" % (
        ", ".join(map(str, eats)) or "no entry")


@check
def l0_by_ats(record, scenario):
    """L0 answered translation requests of the device, by PASID and without."""
    pasid = _limit(scenario, "pasid", 0)
    plain, by_pasid = (_per_stream(record, "ats" + more) for more in ("", " pasid 0x%x" % pasid))
    return (bool(plain) and all([*plain.values(), *by_pasid.values()]),
            "%d translations answered without PASID, %d by PASID 0x%x" % (
                sum(plain.values()), sum(by_pasid.values()), pasid))


@check
def atc_inv_passed(record, scenario):
    """The guest's ATC_INVs came to L0's SMMU: L1's kernel, which knows nothing of the
    guest's PASID, has none for it of its own."""
    pasid = _limit(scenario, "pasid", 0)
    asked = record.get("qut_commands", {}).get("SMMU_CMD_ATC_INV", 0)
    arrived = _per_stream(record, "atc_inv pasid 0x%x" % pasid)
    return (asked > 0 and bool(arrived) and all(arrived.values()),
            "%d ATC_INV in the guest's queue, %d for PASID 0x%x in L0" % (
                asked, sum(arrived.values()), pasid))


@check
def l1_by_acpi(record, _scenario):
    """L1 found its devices by ACPI."""
    tables = [entry.get("f_tables") for entry in record["report"]["l1"] if entry["word"] == "up"]
    return tables == ["acpi"], "L1 was booted by %s" % (
        {"acpi": "ACPI", "dt": "device tree"}.get(tables[0], "nothing known") if tables
        else "nothing: it never came up")


@check
def l2_event(record, scenario):
    """L2's own SMMU reported the fault of its device: type, StreamID as L2
    numbers it, and address; and L1's kernel had passed it on."""
    edu, events = _l2(record, "edu"), _l2(record, "event")
    passed = _final_counts(record).get("nested_event", 0)
    wanted = _limit(scenario, "fault", "")
    if not edu or not events:
        return False, "L2's SMMU reported nothing"
    sid = records.stream_id(edu[0]["f_pci"])
    right = [e for e in events if e.get("f_type") == "F_TRANSLATION"
             and int(e.get("f_sid", "0"), 16) == sid and e.get("f_iova") == wanted]
    return (bool(right) and edu[0].get("f_domain") in ("DMA", "DMA-FQ") and passed > 0,
            "%s; device %s in domain %s, StreamID 0x%x, address %s; L1's kernel passed on %d"
            % (events[0]["text"], edu[0]["f_pci"], edu[0].get("f_domain"), sid, wanted, passed))


@check
def forwarded(record, scenario):
    """So many invalidations reached L1's kernel, in no more calls than the
    guest's waits allow: a CMD_SYNC or a change of configuration ends a batch."""
    wanted = _limit(scenario, "invalidations", 1)
    targets = record["objects"].get("viommus", {}).values()
    calls, entries = (sum(t[key] for t in targets) for key in ("calls", "entries"))
    kernel = _final_counts(record).get("nested_invalidate", 0)
    commands = record.get("qut_commands", {})
    syncs = commands.get("SMMU_CMD_SYNC", 0)
    changes = sum(n for name, n in commands.items() if "CFGI" in name)
    text = ("%d ioctls with %d entries, at least %d wanted; L1's kernel took %d; the guest "
            "issued %d CMD_SYNC and %d configuration commands" % (
                calls, entries, wanted, kernel, syncs, changes))
    return (entries >= wanted and kernel == calls and 0 < calls <= syncs + changes), text


def _invalidations(commands):
    return sum(n for name, n in commands.items()
               if name.startswith(("SMMU_CMD_TLBI_NH_VA", "SMMU_CMD_TLBI_NH_ASID",
                                   "SMMU_CMD_ATC_INV")))


@check
def guest_queues(record, scenario):
    """L0's hardware carried out so many of L2's invalidations from queues that L2
    owns.  The QEMU under test and L1's kernel saw what sets L2 up, and no more."""
    wanted, most = _limit(scenario, "invalidations", 1), _limit(scenario, "trapped", 20)
    done = _invalidations(record["l0"].get("guest_commands", {}))
    trapped = _invalidations(record.get("qut_commands", {}))
    targets = record["objects"].get("viommus", {}).values()
    entries = sum(t["entries"] for t in targets)
    calls = _final_counts(record).get("nested_invalidate", 0)
    return (done >= wanted and trapped <= most and entries <= most,
            "L0 took %d invalidations from L2's queues, at least %d wanted; QEMU was asked for %d, "
            "L1's kernel for %d commands in %d calls, at most %d wanted" % (
                done, wanted, trapped, entries, calls, most))


@check
def l2_queue_error(record, _scenario):
    """L2's kernel was told of the error in its command queue, by the interrupt of
    its CMDQV, and what kind it is: the host's hardware found it."""
    errors = _l2(record, "queue-error")
    maps = [e["f_map"] for e in errors if "f_map" in e]
    kinds = [e["f_what"] for e in errors if "f_what" in e]
    return ("1" in maps and any("Illegal" in kind for kind in kinds),
            "; ".join(e["text"] for e in errors) or "reported nothing")


@check
def l2_translated(record, _scenario):
    """L2's kernel itself put every device into a translated domain."""
    return _domains(record, lambda t: t in ("DMA", "DMA-FQ"))


@check
def l2_passthrough(record, _scenario):
    """L2's kernel itself put every device into an identity domain."""
    return _domains(record, lambda t: t == "identity")


def _domains(record, wanted):
    types = [(d.get("f_disk"), d.get("f_domain", "")) for d in _l2(record, "disk")]
    types += [("NIC " + n.get("f_nic", ""), n.get("f_domain", "")) for n in _l2(record, "nic")]
    types += [(d.get("f_pci"), d.get("f_domain", "")) for d in _l2(record, "dma")]
    return (bool(types) and all(wanted(kind) for _, kind in types),
            ", ".join(sorted({"%s in domain type %s" % t for t in types}))
            or "no device reported")


@check
def l2_net(record, scenario):
    """Each network lost no ping and carried the same data in both directions."""
    data = [e for e in record["report"]["l1"] if e["word"] == "net-data"]
    numbers = devices.nics(scenario)
    results = _l2(record, "net")
    if not data or not numbers:
        return False, "L1 offered no data" if numbers else "the scenario has no NIC"
    size = scenario["l2"]["net_mib"] << 20
    for number in numbers:
        mine = [r for r in results if r.get("f_nic") == str(number)]
        if not mine:
            return False, "nothing reported of NIC %d" % number
        for entry in mine:
            wanted = data[-1].get("f_sha256", "")
            if (entry.get("f_ping") != "ok" or entry.get("f_bytes") != str(size)
                    or not wanted or wanted == disks.EMPTY_SHA256
                    or entry.get("f_got") != wanted or entry.get("f_sent") != wanted):
                return False, "%s; L1 has %s" % (entry["text"], wanted[:16])
    return True, "%d transfers of %d MiB each way, by NIC %s, sha256 %s, same as L1's" % (
        len(results), size >> 20, " and ".join(map(str, numbers)),
        data[-1]["f_sha256"][:16])


# What guest/pasidcheck.c finds at one IOVA: page A by the device itself, page B and
# then page C by its PASID.
BY_PASID = {"before_attach": "blocked", "read_rid": "A", "read_pasid": "B", "write_pasid": "B",
            "other_pasid": "blocked", "read_again": "B", "after_unmap": "blocked",
            "after_remap": "C", "after_detach": "blocked", "rid_at_end": "A",
            "rid_unmapped": "blocked"}


@check
def dma_by_pasid(record, _scenario):
    """Requests by PASID went to the PASID's own pages, and nowhere without it."""
    results = _l2(record, "pasid")
    if not results:
        return False, "no result of DMA by PASID"
    for entry in results:
        wrong = ["%s=%s, not %s" % (name, entry.get("f_" + name), wanted)
                 for name, wanted in BY_PASID.items() if entry.get("f_" + name) != wanted]
        if wrong:
            return False, "; ".join(wrong) + "; L2: " + entry["text"]
    return True, results[-1]["text"]


# What guest/svacheck.c finds when all is well
SVA = {"all": "done", "bad": "0", "after_unmap": "requested", "outside": "invalid",
       "wrong": "0", "outstanding": "64"}


@check
def memory_by_request(record, scenario):
    """A device that requests its pages reached all of a program's memory: so many
    requests, each reported once and rightly, with 64 groups outstanding."""
    results = record.get("sva", [])
    if not results:
        return False, "no result of page requests" + _said(record)
    entry, wanted = results[-1], _limit(scenario, "requests", 1)
    wrong = ["%s=%s, not %s" % (name, entry.get("f_" + name), value)
             for name, value in SVA.items() if entry.get("f_" + name) != value]
    requested = int(entry.get("f_requested", 0))
    if not wanted <= requested == int(entry.get("f_reported", 0)):
        wrong.append("not %d or more requests, all reported" % wanted)
    return not wrong, "; ".join(wrong + [entry["text"]])


@check
def requests_counted(record, _scenario):
    """L0's IOMMU, L1's kernel and the program saw the same requests and answers."""
    counts, l0 = _final_counts(record), record["l0"].get("page_requests", {})
    program = (record.get("sva") or [{}])[-1]
    asked = [l0.get("posted", 0), counts.get("page_request", 0),
             int(program.get("f_reported", 0))]
    answers = [l0.get("answered", 0), counts.get("page_response", 0),
               int(program.get("f_groups", 0))]
    return (len(set(asked)) == len(set(answers)) == 1 and asked[0] > 0 < answers[0],
            "requests %d in L0, %d in L1's kernel, %d in the program; answers %d, %d, %d"
            % (*asked, *answers))


@check
def l2_testpmd(record, _scenario):
    """A program of L2's has answered, by DMA of its own, all that L1 sent to its NIC."""
    pings = [e for e in record["report"]["l1"] if e["word"] == "ping"]
    results = _l2(record, "testpmd")
    if not pings or not results:
        return False, "L1 sent nothing" if not pings else "testpmd did not get to its end"
    ping, result = pings[-1], results[-1]
    sent = int(ping.get("f_sent") or 0)
    text = "%s; L2: %s" % (ping["text"], result["text"])
    good = (sent and ping.get("f_answered") == str(sent) and result.get("f_status") == "0"
            and min(int(result.get("f_" + way) or 0) for way in ("received", "sent")) >= sent)
    return bool(good), text


@check
def l2_user_driver(record, _scenario):
    """A program of L2's drove the disk: of each command the interrupt came."""
    results = _l2(record, "nvme")
    if not results:
        return False, "the program did not get to its end"
    entry = results[-1]
    return (int(entry.get("f_commands") or 0) > 1
            and entry.get("f_commands") == entry.get("f_interrupts")), entry["text"]


@check
def l3_driver(record, _scenario):
    """A guest of L2's drove the disk by its kernel's own driver, which had interrupts;
    L2's VFIO had as many at least."""
    ends = _l2(record, "vm")
    if not ends:
        return False, "L2 did not get to the end of its guest"
    boots, given = _l2(record, "l3-boot"), _l2(record, "l3-sync")
    taken = sum(int(entry["f_msix"]) for entry in _l2(record, "l3-interrupts"))
    passed = int(given[-1]["f_eventfds"]) if given else 0
    finished = [entry.get("f_status") for entry in _l2(record, "l3-end")] == ["0"]
    return (len(boots) == 1 and finished and ends[-1]["f_status"] == "0" and
            passed >= taken > 1), "%s; %d interrupts in L3, %d of VFIO; %s" % (
                boots[0]["text"] if boots else "L3 did not boot", taken, passed,
                ends[-1]["text"])


@check
def l3_hash(record, scenario):
    """What L3 read by DMA is what the disk holds."""
    return _hash(record, scenario, "L3", _l2(record, "l3-read"))


@check
def l3_write(record, scenario):
    """What L3 wrote by DMA is in L0's image."""
    return _written(record, scenario, "L3", _l2(record, "l3-write"),
                    _l2(record, "l3-write-error"))


@check
def l0_l3_memory(record, _scenario):
    """L0 translated addresses that are those of L3's memory through both stages: L2's
    own driver uses others."""
    return _every(_per_stream(record, "l3_memory"),
                  "two-stage translations of L3's memory by stream")


@check
def l2_refused(record, _scenario):
    """L2's kernel refused to give a device to a program, and said why."""
    results = _l2(record, "container")
    if not results:
        return False, "the program did not get to its end"
    return (results[-1].get("f_result") == "refused"
            and "1:1" in results[-1].get("f_said", "")), results[-1]["text"]


# What guest/peercheck.c finds, in its order
PEER = {"write": "arrived", "read": "arrived", "decode_off": "blocked", "memory": "arrived",
        "write_again": "arrived", "read_again": "arrived"}


@check
def peer_dma(record, _scenario):
    """A device read and wrote the BAR of another, through both stages, as long as that
    could be reached."""
    results = _l2(record, "peer")
    if not results:
        return False, "no result of DMA between devices"
    if not any(_per_stream(record, "two_stage").values()):
        return False, "no translation through both stages"
    for entry in results:
        wrong = ["%s=%s, not %s" % (name, entry.get("f_" + name), wanted)
                 for name, wanted in PEER.items() if entry.get("f_" + name) != wanted]
        if wrong:
            return False, "; ".join(wrong) + "; L2: " + entry["text"]
    return True, results[-1]["text"]


@check
def host_by_pasid(record, scenario):
    """L1's kernel attached nested domains to the PASID, and L0 translated its
    requests through both stages."""
    pasid = _limit(scenario, "pasid", 0)
    attached = _final_counts(record).get("nested_attach_pasid", 0)
    walks = _per_stream(record, "two_stage pasid 0x%x" % pasid)
    return attached > 0 and bool(walks) and all(walks.values()), \
        "%d attaches; two-stage translations by PASID 0x%x: %s" % (
            attached, pasid, ", ".join("%s %d" % item for item in sorted(walks.items())))


def _dma_to(record, addresses):
    """Return [(address, entry or None)] of what L2 told the device to write to."""
    entries = {e.get("f_target"): e for e in _l2(record, "dma")}
    return [(address, entries.get(address)) for address in addresses]


@check
def ram_written(record, scenario):
    """The device's own writes to guest RAM arrived."""
    found = _dma_to(record, scenario["limits"].get("ram", []))
    return (bool(found) and all(e and e["f_after"] == e["f_pattern"] != e["f_before"]
                                for _, e in found),
            "; ".join(e["text"] if e else "nothing written to " + a for a, e in found)
            or "no address given")


@check
def rom_unchanged(record, scenario):
    """The device's writes to ROM did not arrive, and the host saw them."""
    found = _dma_to(record, scenario["limits"].get("rom", []))
    bad = []
    for address, entry in found:
        fault = "fault addr %s" % hex(int(address, 16) & ~0xfff)
        if not entry:
            bad.append("nothing written to " + address)
        elif entry["f_after"] != entry["f_before"] or entry["f_after"] == entry["f_pattern"]:
            bad.append("%s was written" % address)
        elif not any(fault in line and "DMA Write" in line for line in record["l1_trouble"]):
            bad.append("no %s in L1's log" % fault)
    return bool(found) and not bad, "; ".join(bad) or ", ".join(
        "%s kept %s" % (a, e["f_after"]) for a, e in found) or "no address given"


@check
def nics_walked(record, scenario):
    """The emulated IOMMU looked up pages for every emulated device, and left
    the tables of passed-through ones to the host."""
    def sid(entry):
        own = records.stream_id(entry["f_pci"])
        # Emulated devices below a PCIe-to-PCI bridge borrow the id of its slot 0
        borrows = entry.get("f_chain", "").endswith(devices.PLACES["bridge"][-1])
        return "0x%x" % (own & 0xff00 if borrows else own)

    emulated = [str(number) for number, _ in devices.emulated_nics(scenario)]
    sids = {n["f_nic"]: sid(n) for n in _l2(record, "nic") if n.get("f_nic") in emulated}
    mine = {nic: record["qut_walks"].get(s, 0) for nic, s in sids.items()}
    passed = [d for d in _l2(record, "nic") + _l2(record, "disk") if d.get("f_nic") not in emulated]
    theirs = sum(record["qut_walks"].get(s, 0)
                 for s in {sid(d) for d in passed} - set(sids.values()))
    text = ", ".join("NIC %s: %d" % item for item in sorted(mine.items())) or "no NIC reported"
    return (sorted(mine) == sorted(emulated) and bool(mine) and all(mine.values())
            and theirs == 0), "pages looked up for %s; for passed-through devices: %d" % (
                text, theirs)


@check
def vhost_used(record, _scenario):
    """L1's vhost got translations of the vIOMMU, more than the few regions of guest
    memory that are counted with them, and moved data by them.  Otherwise QEMU does
    its work, and the guest cannot tell."""
    counts = _final_counts(record)
    names = ("vhost_translation", "vhost_buffers")
    fallen = [text for text in record["qut_messages"]
              if re.search("falling back|device iotlb", text)]
    return (counts.get(names[0], 0) > 16 and counts.get(names[1], 0) > 0 and not fallen,
            ", ".join(["%s %s" % (n, counts.get(n, "never counted")) for n in names] + fallen))


@check
def l2_places(record, scenario):
    """L2 itself sees each disk below the bridges that it has to be below."""
    found = {d.get("f_disk"): d.get("f_chain", "") for d in _l2(record, "disk")}
    wanted = {"disk%d" % i: ">".join(devices.PLACES[place])
              for i, place in enumerate(scenario["limits"].get("places", []))}
    wrong = ["%s is below %s, not %s" % (name, found.get(name), chain)
             for name, chain in wanted.items() if found.get(name) != chain]
    return bool(wanted) and not wrong, "; ".join(wrong) or ", ".join(
        "%s below %s" % item for item in sorted(found.items()))


@check
def one_stage2(record, scenario):
    """One IOAS, one stage-2 HWPT, guest RAM mapped once, for all devices."""
    ioas = {k: v for k, v in record["objects"]["ioas"].items() if v["maps"]}
    parents = record["objects"]["s2"]
    peak = sum(v["peak_bytes"] for v in ioas.values())
    ram = _limit(scenario, "guest_ram_mib", 256) << 20
    text = "%d devices: %d IOAS with mappings, %d stage-2 HWPT, %d MiB mapped at most" % (
        len(record["devices"]), len(ioas), len(parents), peak >> 20)
    return (len(ioas) == 1 and len(parents) == 1 and ram <= peak < ram + ram // 4
            and len(record["devices"]) == len(scenario["devices"])), text


@check
def mapped_once(record, scenario):
    """What stays in the guest's memory map, all but what its firmware changes
    below 1 MiB, is mapped and pinned just once, by few calls."""
    ioas = [v for v in record["objects"]["ioas"].values() if v["maps"]]
    maps, most = sum(v["maps"] for v in ioas), _limit(scenario, "maps", 1)
    again = sum(v["bytes"] - v["peak_bytes"] for v in ioas)
    return bool(ioas) and maps <= most and again < 2 << 20, (
        "%d calls mapped memory, %d at most; %d KiB were mapped again" % (maps, most, again >> 10))


def _live(counts):
    return (counts.get("nested_alloc", 0) - counts.get("nested_free", 0),
            counts.get("hwpt_alloc", 0) - counts.get("hwpt_nested_free", 0)
            - counts.get("hwpt_paging_free", 0),
            counts.get("ioas_alloc", 0) - counts.get("ioas_free", 0),
            # Of SMMUv3 only
            counts.get("viommu_alloc", 0) - counts.get("viommu_free", 0),
            counts.get("veventq_alloc", 0) - counts.get("veventq_free", 0))


@check
def stage2_per_smmu(record, scenario):
    """SMMUv3: one IOAS in which guest RAM is mapped once, and for each SMMU of
    the guest a vIOMMU on a stage-2 HWPT of its own: the VMID is that of the
    stage 2, and two guest SMMUs number their ASIDs independently."""
    wanted = _limit(scenario, "smmus", 1)
    ioas = {k: v for k, v in record["objects"]["ioas"].items() if v["maps"]}
    viommus = record["objects"].get("viommus", {})
    parents = {v["s2"] for v in viommus.values()}
    used = {record["objects"]["s1"][name]["viommu"] for name in record["objects"]["s1"]
            if "viommu" in record["objects"]["s1"][name]}
    text = "%d IOAS with mappings; %d vIOMMU%s on %d stage-2 HWPT, %d of them with a stage 1" % (
        len(ioas), len(viommus), "s" if len(viommus) != 1 else "", len(parents), len(used))
    return (len(ioas) == 1 and len(viommus) == len(parents) == len(used) == wanted), text


@check
def l2_iommus(record, scenario):
    """L2 itself sees its devices behind so many IOMMUs."""
    found = {d.get("f_iommu", "") for d in _l2(record, "disk")} - {""}
    return (len(found) == _limit(scenario, "smmus", 1),
            "L2's disks are behind %d SMMU%s: %s" % (
                len(found), "s" if len(found) != 1 else "", " ".join(sorted(found))))


@check
def l1_iommus(record, scenario):
    """L1, the host, has the passed-through devices behind so many IOMMUs."""
    found = {entry.get("f_iommu", "") for entry in record["report"]["l1"]
             if entry["word"] == "device"} - {""}
    return (len(found) == _limit(scenario, "smmus", 1),
            "L1's devices are behind %d SMMU%s: %s" % (
                len(found), "s" if len(found) != 1 else "", " ".join(sorted(found))))


@check
def nothing_left(record, scenario):
    """No object of the host outlives its use: the same number lives at every
    like moment of the run, and none after the QEMU under test is gone."""
    report = record["report"]
    label = scenario["limits"].get("compare_at", "booted")
    same = [name for name in report["order"] if name.split("#")[0] == label]
    if len(same) < _limit(scenario, "rounds", 2):
        return False, "'%s' was reached %d times" % (label, len(same))
    lives = [_live(report["counts"][name]) for name in same]
    end = _live(_final_counts(record)) if "end" in report["counts"] else None
    text = "live (nested, HWPT, IOAS, vIOMMU, vEVENTQ) at each '%s': %s; at the end: %s" % (
        label, " ".join(map(str, lives)), end)
    holds = (lives[0][1] > 0 and len(set(lives)) == 1 and not any(end or [1]))
    return holds, text.replace("'", "")


@check
def nested_balanced(record, _scenario):
    """The QEMU under test itself freed every stage-1 HWPT that it made."""
    made = record["objects"]["s1"]
    left = [name for name, s1 in made.items() if not s1["freed"]]
    return bool(made) and not left, "%d stage-1 HWPTs made, left over: %s" % (
        len(made), ", ".join(left) or "none")


@check
def nested_by_boot(record, scenario):
    """At each boot of L2 the host had as many nested domains as it has to."""
    report = record["report"]
    wanted = scenario["limits"].get("nested", [])
    found = [_live(report["counts"][name])[0] for name in report["order"]
             if name.split("#")[0] == "booted"]
    return bool(wanted) and found == wanted, "nested domains at each boot: %s" % (
        " ".join(map(str, found)) or "no boot")


@check
def reboots(record, scenario):
    """L2 booted as often as wanted, in one process of the QEMU under test."""
    wanted = _limit(scenario, "boots", 1)
    boots = len(_l2(record, "boot"))
    starts = sum(1 for e in record["report"]["l1"] if e["word"] == "qut-start")
    return boots == wanted and starts == 1, "%d boots in %d process" % (boots, starts)


@check
def none_while_away(record, scenario):
    """At that moment the devices were away, and the host had no nested domain."""
    label = scenario["limits"].get("away_at", "plug")
    away = [counts for name, counts in record["report"]["counts"].items()
            if name.split("#")[0] == label]
    if not away or not all("hwpt_alloc" in counts for counts in away):
        return False, "'%s' was never reached" % label
    most = max(_live(counts)[0] for counts in away)
    return most == 0, "%d nested domains at '%s'%s" % (
        most, label, ", reached %d times" % len(away) if len(away) > 1 else "")


@check
def reattached(record, scenario):
    """L1's kernel attached nested domains at least as often as L2 rebound."""
    wanted = _limit(scenario, "attaches", 1)
    found = _final_counts(record).get("nested_attach", 0)
    return found >= wanted, "%d attaches to nested domains, at least %d wanted" % (found, wanted)


def judge(record, scenario):
    """Return the verdict: outcome, reason, and every check with its evidence.

    A twin (a scenario with 'fails') passes only if each named check failed
    with the evidence that it names, and everything in 'holds' held.
    """
    results, reasons = [], []

    def run(name):
        holds, evidence = CHECKS[name](record, scenario)
        results.append({"name": name, "holds": bool(holds), "evidence": evidence})
        return bool(holds), evidence

    for name in scenario["checks"] + scenario["holds"]:
        holds, evidence = run(name)
        if not holds:
            reasons.append("%s: %s" % (name, evidence))
    for name, pattern in scenario["fails"].items():
        holds, evidence = run(name)
        if holds:
            reasons.append("%s held, but has to fail: %s" % (name, evidence))
        elif not re.search(pattern, evidence):
            reasons.append("%s failed for another reason than /%s/: %s"
                           % (name, pattern, evidence))
    if not results:
        reasons.append("nothing was checked")
    return {"outcome": "fail" if reasons else "pass", "reasons": reasons, "checks": results}
