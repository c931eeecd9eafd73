# SPDX-License-Identifier: GPL-2.0-or-later
"""The verdict on made-up records: what must not be taken for a pass."""
import copy
import json
import os
import re
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
from lib import disks, picture, records, scenario, verdict  # noqa: E402

HASH = "ab" * 32
CHECKS = ["l2_finished", "l2_translated", "l2_hash", "l2_write", "l0_two_stages",
          "l0_interrupts", "l1_nested", "one_stage2", "nested_balanced", "no_faults", "qut_exit"]
REPORT = """\
2.5 up kernel=7.3.4
2.7 device index=0 host=0000:01:00.0 driver=vfio-pci
2.8 qut-start
9.0 l2 3.0 boot kernel=6.1.0-50-amd64 program=read,write
9.1 l2 3.1 disk disk=disk0 pci=0000:01:00.0 domain=DMA
9.2 l2 3.2 sync name=booted
9.2 count at=booted nested_alloc=1 nested_free=0 hwpt_alloc=2 hwpt_nested_free=0 hwpt_paging_free=0 ioas_alloc=1 ioas_free=0
9.5 l2 3.5 read disk=disk0 sha256={hash} blocks=1024 requests=158 bad=0
9.7 l2 3.7 write disk=disk0 slot=0
9.9 l2 3.9 end status=0
10.0 qut-exit status=0
10.1 count at=end nested_alloc=1 nested_free=1 nested_attach=1 nested_invalidate=9 hwpt_alloc=2 hwpt_nested_free=1 hwpt_paging_free=1 ioas_alloc=1 ioas_free=1
10.2 end
""".format(hash=HASH)
QUT_LOG = """\
iommufd_cdev_connect_and_bind  [iommufd=9] Successfully bound device 0000:01:00.0 (fd=10): output devid=1
iommufd_backend_alloc_ioas  iommufd=9 ioas=2
iommufd_backend_alloc_hwpt  iommufd=9 dev_id=1 pt_id=2 flags=0x1 hwpt_type=0 len=0 data_ptr=0x0 out_hwpt=3 (0)
iommufd_backend_map_dma  iommufd=9 ioas=2 iova=0x0 size=0x10000000 addr=0x7f00 readonly=0 (0)
vtd_accel_s1_alloc s1_hwpt=4 s2_hwpt=3 domain=2 pasid=0x0 pgtbl=0x2a31000 addr_width=48 flags=0x0
vtd_accel_attach_tables 0000:01:00.0 pasid=0x0 domain=2 hwpt=4 on=3
iommufd_backend_invalidate_cache  iommufd=9 id=4 data_type=0 entry_len=24 entry_num=3 handled=3 (0)
iommufd_backend_free_id  iommufd=9 id=4 (0)
qemu: warning: something to say
"""


def good_record():
    objects, messages = records.read_qut_log(QUT_LOG.splitlines())
    return {
        "report": records.read_report(REPORT.splitlines()),
        "devices": [{"index": 0, "host": "0000:01:00.0", "sid": "0x100"}],
        "objects": objects, "qut_status": 0, "qut_messages": messages,
        "l0": {"0x100": {"two_stage": 7, "interrupts": 5}}, "qut_walks": {},
        "l1_trouble": [], "l2_trouble": [], "timeout": None, "cases": {},
        "disks": {"disk0": {"sha256": HASH, "unchanged": True, "slots": [0]}},
    }


ARM_LOG = """\
iommufd_cdev_connect_and_bind  [iommufd=9] Successfully bound device 0000:01:00.0 (fd=10): output devid=1
iommufd_backend_alloc_ioas  iommufd=9 ioas=2
iommufd_backend_alloc_hwpt  iommufd=9 dev_id=1 pt_id=2 flags=0x1 hwpt_type=0 len=0 data_ptr=0x0 out_hwpt=3 (0)
iommufd_backend_map_dma  iommufd=9 ioas=2 iova=0x40000000 size=0x10000000 addr=0x7f00 readonly=0 (0)
iommufd_backend_alloc_viommu  iommufd=9 dev_id=1 type=1 hwpt_id=3 viommu_id=4 (0)
iommufd_backend_alloc_hwpt  iommufd=9 dev_id=1 pt_id=4 flags=0x0 hwpt_type=2 len=16 data_ptr=0x7ff out_hwpt=7 (0)
smmuv3_accel_s1 0000:01:00.0 sid=0x100 hwpt=7 viommu=4 ste=0x5000004a3d000b 0x2000000a8
smmuv3_cmdq_opcode <--- SMMU_CMD_CFGI_STE
smmuv3_cmdq_opcode <--- SMMU_CMD_TLBI_NH_VA
smmuv3_cmdq_opcode <--- SMMU_CMD_SYNC
iommufd_backend_invalidate_cache  iommufd=9 id=4 data_type=1 entry_len=16 entry_num=9 handled=9 (0)
iommufd_backend_free_id  iommufd=9 id=7 (0)
"""
ARM_TRACE = """\
1@100.5:smmuv3_translate_success smmuv3-iommu-memory-region-0-0 sid=0x100 iova=0x1 translated=0x44000000 perm=0x3 stage=3
1@101.5:smmuv3_translate_success smmuv3-iommu-memory-region-0-0 sid=0x100 iova=0x8000000 translated=0x8090000 perm=0x2 stage=3
1@101.6:smmuv3_translate_success smmuv3-iommu-memory-region-0-0 sid=0x100 iova=0x2000 translated=0x44000000 perm=0x3 stage=3
1@101.6:smmuv3_translate_success smmuv3-iommu-memory-region-0-0 sid=0x100 iova=0x47fff000 translated=0x44000000 perm=0x3 stage=3
1@101.6:smmuv3_translate_success smmuv3-iommu-memory-region-0-0 sid=0x100 iova=0x48000000 translated=0x44000000 perm=0x3 stage=3
1@101.7:smmuv3_translate_success smmuv3-iommu-memory-region-0-0 sid=0x108 iova=0x2000 translated=0x44000000 perm=0x3 stage=2
1@100.9:smmuv3_decode_cd_tt TT[0]:tsz:25 ttb:0x44000000 granule_sz:12 had:0
1@101.7:smmuv3_decode_cd_tt TT[0]:tsz:16 ttb:0x44000000 granule_sz:16 had:0
1@101.7:smmuv3_decode_cd_tt TT[1]:tsz:20 ttb:0x44000000 granule_sz:12 had:0
1@101.8:smmuv3_record_event F_TRANSLATION sid=0x100
"""


def arm_record():
    objects, messages = records.read_qut_log(ARM_LOG.splitlines())
    record = good_record()
    record["report"] = records.read_report(
        REPORT.replace("nested_alloc=1 nested_free=1", "vsmmu_init=1 nested_alloc=1 nested_free=1")
        .replace("nested_invalidate=9", "nested_invalidate=1")
        .replace("up kernel=7.3.4", "up kernel=7.3.4 tables=dt").splitlines()
        + ["10.2 event qemu-1 nested_alloc: ste0=0x5000004a3d000b ste1=0x0"])
    record.update(objects=objects, qut_messages=messages,
                  qut_commands=records.read_qut_commands(ARM_LOG.splitlines()))
    return record


def make_scenario(**changes):
    return {**copy.deepcopy(scenario.DEFAULTS), "checks": CHECKS, **changes}


class ArmVerdict(unittest.TestCase):
    def judge(self, record, check, **limits):
        return verdict.CHECKS[check](record, make_scenario(arch="arm64", limits=limits))

    def test_good_record_passes(self):
        result = verdict.judge(arm_record(), make_scenario(arch="arm64"))
        self.assertEqual(result["reasons"], [])

    def test_stage1_is_seen_in_the_ste(self):
        record = arm_record()
        self.assertFalse(self.judge(record, "l1_no_stage1")[0])
        record["report"]["events"] = ["nested_alloc: ste0=0x9 ste1=0x0",
                                      "nested_alloc: ste0=0x1 ste1=0x0"]
        self.assertTrue(self.judge(record, "l1_no_stage1")[0])
        record["report"]["events"] = []
        self.assertFalse(self.judge(record, "l1_no_stage1")[0])

    def test_devices_behind_fewer_smmus_of_the_host_fail(self):
        device = {"word": "device", "f_iommu": "smmu3.0xc000000"}
        other = dict(device, f_iommu="smmu3.0xc020000")
        for found, holds in (([device, other], True), ([device, device], False),
                             ([device, dict(device, f_iommu="")], False), ([], False)):
            record = arm_record()
            record["report"]["l1"] = found
            self.assertEqual(self.judge(record, "l1_iommus", smmus=2)[0], holds, found)

    def test_forwarded_needs_the_kernel_to_agree(self):
        record = arm_record()
        self.assertTrue(self.judge(record, "forwarded", invalidations=9)[0])
        self.assertFalse(self.judge(record, "forwarded", invalidations=10)[0])
        record["report"]["counts"]["end"]["nested_invalidate"] = 0
        self.assertIn("took 0", self.judge(record, "forwarded")[1])
        self.assertFalse(self.judge(record, "forwarded")[0])

    def test_forwarded_in_more_calls_than_waits_fails(self):
        record = arm_record()
        record["objects"]["viommus"]["4"]["calls"] = 3
        record["report"]["counts"]["end"]["nested_invalidate"] = 3
        self.assertFalse(self.judge(record, "forwarded")[0])

    def test_acpi_or_device_tree(self):
        self.assertEqual(self.judge(arm_record(), "l1_by_acpi"),
                         (False, "L1 was booted by device tree"))

    def test_trace_tells_stages_and_doorbells(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(ARM_TRACE)
            file.flush()
            found = records.read_l0_trace(file.name, 101)
        self.assertEqual(found, {"0x100": {"interrupts": 1, "two_stage": 3, "faults": 1,
                                           "l3_memory": 1},
                                 "0x108": {"one_stage": 1},
                                 "stage1": {"48 bits, granule 65536": 1}})

    def test_picture_names_the_viommu(self):
        text = "\n".join(picture.render(arm_record()))
        self.assertIn("guest context descriptors 0x4a3d0000, StreamID 0x100", text)
        self.assertIn("vIOMMU 4: 1 invalidation call with 9 entries", text)
        self.assertIn("the kernel saw the same", text)


class Verdict(unittest.TestCase):
    def failing(self, record, **changes):
        result = verdict.judge(record, make_scenario(**changes))
        return {c["name"] for c in result["checks"] if not c["holds"]}

    def test_good_record_passes(self):
        result = verdict.judge(good_record(), make_scenario())
        self.assertEqual(result["reasons"], [])
        self.assertEqual(result["outcome"], "pass")

    def test_empty_hash_on_both_sides_fails(self):
        record = good_record()
        record["disks"]["disk0"]["sha256"] = disks.EMPTY_SHA256
        for entry in record["report"]["l2"]:
            if entry["word"] == "read":
                entry["f_sha256"] = disks.EMPTY_SHA256
        self.assertEqual(self.failing(record), {"l2_hash"})

    def test_other_hash_fails(self):
        record = good_record()
        record["disks"]["disk0"]["sha256"] = "cd" * 32
        self.assertEqual(self.failing(record), {"l2_hash"})

    def test_missing_read_fails(self):
        record = good_record()
        record["report"]["l2"] = [e for e in record["report"]["l2"] if e["word"] != "read"]
        self.assertEqual(self.failing(record), {"l2_hash"})

    def test_bad_block_fails_in_spite_of_the_hash(self):
        record = good_record()
        for entry in record["report"]["l2"]:
            if entry["word"] == "read":
                entry["f_bad"] = "1"
        self.assertEqual(self.failing(record), {"l2_hash"})

    def test_write_that_is_not_in_the_image_fails(self):
        record = good_record()
        record["disks"]["disk0"]["slots"] = []
        self.assertEqual(self.failing(record), {"l2_write"})

    def test_no_two_stage_translation_of_the_stream_fails(self):
        record = good_record()
        record["l0"] = {"0x200": record["l0"]["0x100"]}
        self.assertEqual(self.failing(record), {"l0_two_stages", "l0_interrupts"})

    def test_missing_probe_fails(self):
        record = good_record()
        record["report"]["missing_probes"] = ["nested_alloc"]
        self.assertEqual(self.failing(record), {"l1_nested"})

    def test_zero_invalidations_fail(self):
        record = good_record()
        record["report"]["counts"]["end"]["nested_invalidate"] = 0
        self.assertEqual(self.failing(record), {"l1_nested"})

    def test_second_device_without_data_fails(self):
        self.assertTrue({"l2_hash", "l2_write", "one_stage2"} <= self.failing(
            good_record(), devices=["nvme", "nvme"]))

    def test_leaked_stage1_fails(self):
        record = good_record()
        record["objects"]["s1"]["4"]["freed"] = False
        self.assertEqual(self.failing(record), {"nested_balanced"})

    def test_dmar_fault_fails(self):
        record = good_record()
        record["l1_trouble"] = records.trouble(
            ["[1.0] DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0x1000"])
        self.assertEqual(self.failing(record), {"no_faults"})

    def test_exit_status_and_timeout_fail(self):
        record = good_record()
        record["qut_status"] = None
        record["timeout"] = "waited 60 s for L2 after 'boot'"
        self.assertEqual(self.failing(record), {"l2_finished", "qut_exit"})

    def test_another_kernel_in_l2_fails(self):
        for wanted, holds in (("6.1.", True), ("6.12.", False), ("", False)):
            found, evidence = verdict.CHECKS["l2_kernel"](
                good_record(), make_scenario(limits={"kernel": wanted}))
            self.assertEqual(found, holds)
            self.assertIn("6.1.0-50-amd64", evidence)

    def test_pages_and_tables_of_another_size_fail(self):
        tables = "48 bits, granule 65536"
        limits = {"page": 65536, "lva": 1, "tables": tables}
        for boot, found, failing in (
                ("page=65536 lva=1", [tables], set()),
                ("page=4096 lva=1", [tables], {"l2_pages"}),
                ("page=65536 lva=0", [tables], {"l2_pages"}),
                ("page= lva=", [], {"l2_pages", "l0_tables"}),
                ("page=65536 lva=1", ["48 bits, granule 4096"], {"l0_tables"}),
                ("page=65536 lva=1", [tables, "52 bits, granule 65536"], {"l0_tables"})):
            record = arm_record()
            record["report"]["l2"] = [records.parse_report("9.1 l2 0.5 boot kernel=7.3.4 " + boot)]
            record["l0"]["stage1"] = {name: 1 for name in found}
            result = verdict.judge(record, make_scenario(
                checks=["l2_pages", "l0_tables"], limits=limits))
            self.assertEqual({c["name"] for c in result["checks"] if not c["holds"]}, failing,
                             (boot, found))

    def test_an_empty_record_holds_nothing(self):
        record = {**good_record(), "report": records.read_report([]), "devices": [],
                  "objects": {"ioas": {}, "s2": {}, "s1": {}, "devices": {}}, "l0": {},
                  "qut_status": None, "disks": {}}
        result = verdict.judge(record, make_scenario(checks=sorted(verdict.CHECKS)))
        self.assertEqual([c["name"] for c in result["checks"] if c["holds"]], [])

    def net_record(self):
        record = good_record()
        record["report"]["l1"].append(records.parse_report(
            "2.6 net-data sha256=%s bytes=8388608" % HASH))
        for line in ("9.3 l2 3.3 nic nic=64 pci=0000:00:05.0 driver=virtio-pci domain=DMA chain=",
                     "9.4 l2 3.4 net nic=64 ping=ok bytes=8388608 got=%s sent=%s" % (HASH, HASH)):
            record["report"]["l2"].append(records.parse_report(line))
        record["qut_walks"] = {"0x28": 9}
        return record

    def net_failing(self, record):
        checks = ["l2_net", "nics_walked", "l2_translated"]
        qut = {**scenario.DEFAULTS["qut"], "nics": [{}]}
        result = verdict.judge(record, make_scenario(checks=checks, qut=qut))
        return {c["name"] for c in result["checks"] if not c["holds"]}

    def test_network_with_the_right_data_passes(self):
        self.assertEqual(self.net_failing(self.net_record()), set())

    def test_network_with_other_or_too_little_data_or_a_lost_ping_fails(self):
        for key, value in (("f_got", "cd" * 32), ("f_sent", ""), ("f_bytes", "4096"),
                           ("f_ping", "lost"), ("f_nic", "65")):
            record = self.net_record()
            record["report"]["l2"][-1][key] = value
            self.assertEqual(self.net_failing(record), {"l2_net"}, key)

    def test_nic_that_bypasses_the_iommu_fails(self):
        record = self.net_record()
        record["qut_walks"] = {}
        self.assertEqual(self.net_failing(record), {"nics_walked"})

    def test_disk_whose_tables_qemu_reads_fails(self):
        record = self.net_record()
        record["qut_walks"]["0x100"] = 1
        self.assertEqual(self.net_failing(record), {"nics_walked"})

    def test_nic_below_a_bridge_borrows_the_id_of_slot_0(self):
        record = self.net_record()
        for entry in record["report"]["l2"]:
            if entry["word"] == "nic":
                entry.update(f_pci="0000:06:05.0", f_chain="1b36:000c>1b36:000e")
        self.assertEqual(self.net_failing(record), {"nics_walked"})
        record["qut_walks"] = {"0x600": 3}
        self.assertEqual(self.net_failing(record), set())

    def test_disk_elsewhere_fails(self):
        record = good_record()
        for entry in record["report"]["l2"]:
            if entry["word"] == "disk":
                entry["f_chain"] = "1b36:000c"
        for place, holds in (("port", True), ("switch", False)):
            held, _ = verdict.CHECKS["l2_places"](record, make_scenario(
                limits={"places": [place]}))
            self.assertEqual(held, holds)

    def test_rom_that_changed_or_was_not_blocked_fails(self):
        limits = {"rom": ["0xf0000"], "ram": ["0xd000000"]}
        record = good_record()
        record["l1_trouble"] = ["DMAR: [DMA Write NO_PASID] Request device [01:00.0] "
                                "fault addr 0xf0000 [fault reason 0x05]"]
        for target, after in (("0xf0000", "0x1"), ("0xd000000", "0x5a")):
            record["report"]["l2"].append(records.parse_report(
                "9.3 l2 3.3 dma pci=0000:01:00.0 domain=identity target=%s pattern=0x5a"
                " before=0x1 after=%s" % (target, after)))
        both = make_scenario(checks=["rom_unchanged", "ram_written"], limits=limits)
        self.assertEqual(verdict.judge(record, both)["reasons"], [])
        quiet = {**copy.deepcopy(record), "l1_trouble": []}
        self.assertIn("no fault addr 0xf0000", verdict.judge(quiet, both)["reasons"][0])
        record["report"]["l2"][-2]["f_after"] = "0x5a"
        self.assertIn("was written", verdict.judge(record, both)["reasons"][0])

    def test_copied_tables_are_an_ioas_of_their_own(self):
        limits = make_scenario(limits={"maps": 2})
        shadowed = verdict.CHECKS["l1_shadowed"]
        record = good_record()
        self.assertEqual(shadowed(record, limits)[0], False)
        record["objects"]["ioas"]["5"] = {"maps": 2, "peak_bytes": 8192, "freed": False,
                                          "live": 1}
        record["objects"]["s2"]["6"] = {"ioas": 5, "flags": 0, "freed": False}
        record["report"]["counts"].setdefault("end", {})["ioas_map"] = 3
        self.assertEqual(shadowed(record, limits)[0], True)
        record["report"]["counts"]["end"]["ioas_map"] = 1
        self.assertEqual(shadowed(record, limits)[0], False)

    def test_memory_that_is_pinned_again_fails(self):
        limits = make_scenario(limits={"maps": 1})
        once = verdict.CHECKS["l1_pinned_once"]
        record = good_record()
        record["objects"], _ = records.read_qut_log([
            *QUT_LOG.splitlines(), "iommufd_backend_alloc_ioas  iommufd=9 ioas=5",
            "iommufd_backend_copy_dma  iommufd=9 src_ioas=2 src_iova=0x1000 dst_ioas=5"
            " dst_iova=0x4000 size=0x1000 readonly=0 (0)"])
        self.assertIn("pinned unknown", once(record, limits)[1])
        self.assertEqual(once(record, limits)[0], False)
        for kib, holds in (("262144", True), ("262148", False), ("0", False)):
            record["report"] = records.read_report(
                [*REPORT.splitlines(), "9.2 memory at=booted pinned=" + kib])
            self.assertEqual(once(record, limits)[0], holds, kib)
        record["objects"]["ioas"]["5"]["maps"] = 0
        self.assertEqual(once(record, limits)[0], False)

    def test_memory_that_is_mapped_again_fails(self):
        once = verdict.CHECKS["mapped_once"]
        again = ("iommufd_backend_unmap_dma  iommufd=9 ioas=2 iova=0x0 size=0x10000000 (0)",
                 "iommufd_backend_map_dma  iommufd=9 ioas=2 iova=0x%x size=0x%x addr=0x7f00"
                 " readonly=0 (0)")
        for start, size, maps, holds in ((0, 1 << 28, 2, False), (0, 1 << 16, 2, True),
                                         (0, 1 << 16, 1, False)):
            record = good_record()
            record["objects"], _ = records.read_qut_log(
                [*QUT_LOG.splitlines(), again[0], again[1] % (start, size)])
            self.assertEqual(once(record, make_scenario(limits={"maps": maps}))[0], holds, size)
        self.assertEqual(once(good_record(), make_scenario())[0], True)

    def test_dma_by_pasid_that_went_elsewhere_fails(self):
        words = " ".join("%s=%s" % item for item in verdict.BY_PASID.items())
        for text, holds in ((words, True), (words.replace("after_unmap=blocked", "after_unmap=B"),
                                            False), ("width=0 allocate HWPT", False)):
            record = good_record()
            record["report"]["l2"].append(records.parse_report("9.3 l2 3.3 pasid " + text))
            held, _ = verdict.CHECKS["dma_by_pasid"](record, make_scenario())
            self.assertEqual(held, holds, text)

    def test_dma_between_devices_that_did_not_arrive_fails(self):
        words = " ".join("%s=%s" % item for item in verdict.PEER.items())
        for text, holds in ((words, True), (words.replace("decode_off=blocked", "decode_off=lost"),
                                            False), ("dma-buf of the BAR: refused", False)):
            record = good_record()
            record["report"]["l2"].append(records.parse_report("9.3 l2 3.3 peer " + text))
            held, _ = verdict.CHECKS["peer_dma"](record, make_scenario())
            self.assertEqual(held, holds, text)

    def test_a_warning_that_is_missing_or_repeated_fails(self):
        scenario_ = make_scenario(limits={"warning": "lost, because"})
        line = "qemu: warning: dev0: lost, because of this"
        for lines, holds in (([], False), ([line], True), ([line, line], False),
                             (["qemu: warning: lost"], False)):
            record = good_record()
            record["qut_messages"] = lines
            self.assertEqual(verdict.CHECKS["qut_warned"](record, scenario_)[0], holds, lines)

    def test_a_program_that_left_packets_unanswered_fails(self):
        end = "9.3 l2 3.3 testpmd pci=0000:01:00.0 status=%s received=%s sent=%s"
        for answered, *rest, holds in (
                ("100", "0", "101", "101", True), ("99", "0", "101", "101", False),
                ("0", "0", "0", "0", False), ("100", "1", "101", "101", False),
                ("100", "0", "101", "99", False), ("100", "0", "", "101", False)):
            record = good_record()
            record["report"]["l2"].append(records.parse_report(end % tuple(rest)))
            self.assertFalse(verdict.CHECKS["l2_testpmd"](record, make_scenario())[0])
            record["report"]["l1"].append(
                records.parse_report("9.2 ping network=0 sent=100 answered=" + answered))
            held, _ = verdict.CHECKS["l2_testpmd"](record, make_scenario())
            self.assertEqual(held, holds, (answered, rest))

    def test_a_program_that_missed_interrupts_fails(self):
        for text, holds in (("commands=515 interrupts=515", True),
                            ("commands=515 interrupts=514", False),
                            ("commands=0 interrupts=0", False), ("commands=1 interrupts=1", False),
                            ("create completion queue: command 1 has ended", False)):
            record = arm_record()
            record["report"]["l2"].append(records.parse_report("9.8 l2 3.8 nvme pci=x " + text))
            self.assertEqual(verdict.CHECKS["l2_user_driver"](record, make_scenario())[0],
                             holds, text)

    def test_a_guest_of_l2_that_did_something_else_fails(self):
        good = ["l3-boot kernel=7.3.4", "l3-read disk=disk0 sha256=%s blocks=1024 bad=0" % HASH,
                "l3-write disk=disk0 slot=0", "l3-interrupts disk=disk0 msix=9",
                "l3-sync name=l3 eventfds=9", "l3-end status=0", "vm pci=x status=0 said="]
        for number, other, failing in (
                (0, "l3-write disk=disk0 slot=0", {"l3_driver"}),
                (1, "l3-read disk=disk0 sha256=%s blocks=1024 bad=1" % HASH, {"l3_hash"}),
                (1, "read disk=disk0 sha256=%s blocks=1024 bad=0" % HASH, {"l3_hash"}),
                (2, "l3-write disk=disk0 slot=3", {"l3_write"}),
                (2, "l3-write-error disk=disk0 slot=0", {"l3_write"}),
                (3, "l3-interrupts disk=disk0 msix=0", {"l3_driver"}),
                (4, "l3-sync name=l3 eventfds=8", {"l3_driver"}),
                (5, "l3-end status=1", {"l3_driver"}), (6, "end status=0", {"l3_driver"}),
                (6, "vm pci=x status=1 said=", {"l3_driver"}), (0, good[0], set())):
            record = good_record()
            record["l0"]["0x100"]["l3_memory"] = 5
            for line in good[:number] + [other] + good[number + 1:]:
                record["report"]["l2"].append(records.parse_report("9.8 l2 3.8 " + line))
            result = verdict.judge(record, make_scenario(
                checks=["l3_driver", "l3_hash", "l3_write", "l0_l3_memory"]))
            found = {c["name"] for c in result["checks"] if not c["holds"]}
            self.assertEqual(found, failing, other)

    def test_a_device_that_the_guest_gave_to_a_program_was_not_refused(self):
        said = "vfio-pci_0000:01:00.0:_1:1_mapping"
        for text, holds in (("refused step=iommu error=22 said=" + said, True),
                            ("refused step=iommu error=22 said=", False),
                            ("opened said=" + said, False), (" /dev/vfio/vfio: said=", False)):
            record = good_record()
            self.assertFalse(verdict.CHECKS["l2_refused"](record, make_scenario())[0])
            record["report"]["l2"].append(
                records.parse_report("9.3 l2 3.3 container pci=0000:01:00.0 result=" + text))
            held, _ = verdict.CHECKS["l2_refused"](record, make_scenario())
            self.assertEqual(held, holds, text)

    def test_pasid_that_the_host_never_saw_fails(self):
        record = good_record()
        limited = make_scenario(limits={"pasid": 0x64})
        record["report"]["counts"]["end"]["nested_attach_pasid"] = 1
        self.assertFalse(verdict.CHECKS["host_by_pasid"](record, limited)[0])
        record["l0"]["0x100"]["two_stage pasid 0x64"] = 3
        self.assertTrue(verdict.CHECKS["host_by_pasid"](record, limited)[0])
        record["report"]["counts"]["end"]["nested_attach_pasid"] = 0
        self.assertFalse(verdict.CHECKS["host_by_pasid"](record, limited)[0])

    def test_a_cd_table_of_another_shape_fails(self):
        limited = make_scenario(limits={"cd_bits": 20, "cd_levels": 2})
        two, one = "a00000004f2ee02b", "5000000040f2e00b"
        for stes, holds in (([two], True), ([two, two], True), ([two, "9"], True),
                            ([one], False), ([two, one], False), (["9"], False), ([], False),
                            (["a00000004f2ee00b"], False), (["980000004f2ee02b"], False)):
            record = good_record()
            record["report"]["events"] = ["nested_alloc ste0=0x%s ste1=0x2" % ste for ste in stes]
            self.assertEqual(verdict.CHECKS["l1_cd_table"](record, limited)[0], holds, stes)

    def test_no_dma_by_the_pasid_fails(self):
        limited = make_scenario(limits={"pasid": 0x12345})
        for what, holds in (("two_stage pasid 0x12345", True), ("two_stage pasid 0x2345", False),
                            ("one_stage pasid 0x12345", False), ("two_stage", False)):
            record = good_record()
            for device in record["devices"]:
                record["l0"].setdefault(device["sid"], {})[what] = 3
            self.assertEqual(verdict.CHECKS["l0_by_pasid"](record, limited)[0], holds, what)

    def test_page_requests_that_went_wrong_fail(self):
        good = ("sva pasid=0x64 all=done done=512 bad=0 after_unmap=requested outside=invalid"
                " requested=1026 reported=1026 groups=514 outstanding=64 wrong=0")
        limited = make_scenario(limits={"requests": 1000})
        for text, holds in ((good, True), (good.replace("all=done", "all=waiting"), False),
                            (good.replace("bad=0", "bad=1"), False),
                            (good.replace("outstanding=64", "outstanding=63"), False),
                            (good.replace("=1026", "=999"), False),
                            (good.replace("reported=1026", "reported=1025"), False)):
            record = dict(good_record(), sva=[records.parse_report("0 " + text)])
            self.assertEqual(verdict.CHECKS["memory_by_request"](record, limited)[0], holds, text)

    def test_page_requests_that_a_level_counts_differently_fail(self):
        record = good_record()
        record["sva"] = [records.parse_report("0 sva reported=20 groups=10")]
        for posted, answered, kernel, responses, holds in (
                (20, 10, 20, 10, True), (21, 10, 20, 10, False), (20, 9, 20, 10, False),
                (20, 10, 0, 10, False), (20, 10, 20, 11, False), (0, 0, 0, 0, False)):
            record["l0"]["page_requests"] = {"posted": posted, "answered": answered}
            record["report"]["counts"]["end"].update(
                page_request=kernel, page_response=responses)
            held, _ = verdict.CHECKS["requests_counted"](record, make_scenario())
            self.assertEqual(held, holds)

    def test_tables_nested_in_another_mode_fail(self):
        record = good_record()
        for label, live in (("booted#2", 0), ("booted#3", 1)):
            record["report"]["counts"][label] = {"nested_alloc": live, "nested_free": 0}
            record["report"]["order"].append(label)
        for wanted, holds in (([1, 0, 1], True), ([1, 1, 1], False), ([1, 0], False), ([], False)):
            held, _ = verdict.CHECKS["nested_by_boot"](record, make_scenario(
                limits={"nested": wanted}))
            self.assertEqual(held, holds)

    def test_vhost_that_moved_nothing_or_fell_back_fails(self):
        record = good_record()
        end = record["report"]["counts"]["end"]
        for translations, buffers, said, holds in (
                (99, 9, "", True), (3, 9, "", False), (99, 0, "", False),
                (99, 9, "qemu: unable to start vhost net: 14: falling back", False)):
            end.update(vhost_translation=translations, vhost_buffers=buffers)
            record["qut_messages"] = [said]
            held, _ = verdict.CHECKS["vhost_used"](record, make_scenario())
            self.assertEqual(held, holds)

    def test_contract_needs_all_its_cases(self):
        log = ["1..3", "ok 1 /a/kept", "ok 2 /a/fake # SKIP no such host", "ok 3 /a/too"]

        def judge(lines, cases):
            return verdict.CHECKS["contract_kept"]({"cases": records.read_cases(lines)},
                                                   make_scenario(limits={"cases": cases}))
        self.assertTrue(judge(log, 2)[0])
        self.assertIn("1 need what only fakehost has", judge(log, 2)[1])
        for wrong in (0, 1, 3):
            self.assertFalse(judge(log, wrong)[0])
        self.assertFalse(judge([], 0)[0])
        self.assertFalse(judge(log[:-1], 2)[0])
        failed = ["# ERROR:../x/y.c:7:f: assertion failed (a == b): (0 == 22)",
                  "# ERROR:../x/y.c:8:f: code should not be reached", "not ok 4 /a/broken"]
        held, text = judge(log + failed, 2)
        self.assertFalse(held)
        self.assertIn("/a/broken: y.c:7:f: assertion failed (a == b): (0 == 22)", text)

    def test_leak_over_reboots_fails(self):
        record = good_record()
        limits = {"rounds": 2, "compare_at": "booted"}
        report = record["report"]
        report["counts"]["booted#2"] = dict(report["counts"]["booted"])
        report["order"].append("booted#2")
        held, _ = verdict.CHECKS["nothing_left"](record, make_scenario(limits=limits))
        self.assertTrue(held)
        for name in ("nested_alloc", "viommu_alloc", "veventq_alloc"):
            counts = report["counts"]["booted#2"]
            before = dict(counts)
            counts[name] = counts.get(name, 0) + 1
            held, _ = verdict.CHECKS["nothing_left"](record, make_scenario(limits=limits))
            self.assertFalse(held, name)
            report["counts"]["booted#2"] = before


class Twins(unittest.TestCase):
    def test_twin_passes_only_for_the_stated_reason(self):
        record = good_record()
        record["qut_status"] = 1
        record["qut_messages"] = ["qemu: host 0, guest wants 1"]
        twin = {"checks": [], "fails": {"qut_exit": "host 0, guest wants 1"}}
        self.assertEqual(verdict.judge(record, make_scenario(**twin))["outcome"], "pass")
        record["qut_messages"] = ["qemu: out of memory"]
        self.assertEqual(verdict.judge(record, make_scenario(**twin))["outcome"], "fail")

    def test_twin_fails_when_the_check_holds(self):
        twin = {"checks": [], "fails": {"qut_exit": "."}}
        self.assertEqual(verdict.judge(good_record(), make_scenario(**twin))["outcome"], "fail")

    def test_twin_fails_when_what_has_to_hold_does_not(self):
        record = good_record()
        record["report"]["counts"]["end"]["nested_alloc"] = 0
        record["disks"]["disk0"]["sha256"] = "cd" * 32
        twin = {"checks": [], "fails": {"l1_nested": "nested_alloc 0"}, "holds": ["l2_hash"]}
        self.assertEqual(verdict.judge(record, make_scenario(**twin))["outcome"], "fail")


class Records(unittest.TestCase):
    def test_page_requests_are_counted(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("vtd_prq_post 3 requests, 3 posted, head 0 tail 3\n"
                       "vtd_prq_post 3 requests, 1 posted, head 0 tail 4\n"
                       "vtd_prq_response sid 0x100 has PASID 1 pasid 0x64 group 9 code 0\n")
            file.flush()
            self.assertEqual(records.read_l0_trace(file.name, 0.0), {
                "page_requests": {"posted": 4, "answered": 1}})

    def test_interrupts_and_translations_are_counted_per_stream(self):
        import tempfile
        text = ("1@5.000000:vtd_ir_irte_get index 19 low 0x40100 high 0x10000220009\n"
                "1@15.000000:vtd_ir_irte_get index 19 low 0x40100 high 0x10000220009\n"
                "1@15.100000:vtd_nested_translate sid 0x100 pasid 0x0 iova 0x1000 -> gpa 0x2000\n"
                "1@15.200000:vtd_iotlb_page_update IOTLB page update sid 0x8 iova 0x1 slpte 0x2\n")
        with tempfile.NamedTemporaryFile("w+") as file:
            file.write(text)
            file.flush()
            streams = records.read_l0_trace(file.name, 10.0)
        self.assertEqual(streams, {"0x100": {"interrupts": 1, "two_stage": 1},
                                   "0x8": {"one_stage": 1}})

    def test_stream_id(self):
        self.assertEqual(records.stream_id("0000:02:03.1"), 0x219)

    def test_written_block_has_whole_lines(self):
        block = disks.written_block("0123456789abcdef", 1030)
        self.assertEqual(len(block), disks.BLOCK)
        self.assertTrue(block.startswith(b"written by L2 tag=0123456789abcdef block=1030."))
        self.assertEqual(block[63:64], b"\n")

    def test_reused_ids_keep_both_objects(self):
        log = QUT_LOG.splitlines()
        objects, _ = records.read_qut_log(log + [log[4]])
        self.assertEqual(len(objects["s1"]), 2)

    def test_picture_shows_recorded_objects_only(self):
        text = "\n".join(picture.render(good_record()))
        for part in ("S1 HWPT 4", "guest table 0x2a31000", "S2 HWPT 3 (nesting parent)",
                     "IOAS 2", "1 invalidation call with 3 entries"):
            self.assertIn(part, text)
        self.assertNotIn("kernel saw the same table", text)


class Files(unittest.TestCase):
    def test_every_scenario_file_is_valid_and_has_a_twin(self):
        known = scenario.load_all(verdict.CHECKS)
        names = {name.split(".")[0] for name in known}
        for name in names:
            self.assertTrue([k for k in known if k.startswith(name + ".")],
                            "%s has no negative twin" % name)

    def load(self, text):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "x86-a-b.toml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return scenario.load_file(path, verdict.CHECKS)

    def test_unknown_keys_and_checks_are_refused(self):
        for bad in ('description = "x"\nchecks = ["no_such_check"]\n',
                    'description = "x"\nchecks = ["qut_exit"]\nno_such_key = 1\n',
                    'description = "x"\nchecks = ["qut_exit"]\nl2.kernel = "6.1"\n',
                    'description = "x"\nchecks = ["qut_exit"]\nl2.kernel = "64k"\n',
                    'description = "x"\nchecks = ["qut_exit"]\nl2.program = ["testpmd"]\n',
                    'description = "x"\nchecks = ["qut_exit"]\nl0.places = ["pxb"]\n',
                    'description = "x"\nchecks = ["qut_exit"]\nl2.xen = "iommu=on"\n',
                    'description = "x"\n', 'checks = ["qut_exit"]\n', "not toml"):
            with self.assertRaises(scenario.ScenarioError):
                self.load(bad)

    def program(self, *words, on=""):
        return self.load('description = "x"\nchecks = ["qut_exit"]\nl2.program = %s\n%s'
                         % (json.dumps(words), on))

    def test_words_of_l2_are_checked(self):
        self.program("read", "domain:identity", "replug", "replug:3", "pasid:0x64", "dma:0xd0")
        for bad in ("reed", "read:1", "read:", "domain", "domain:dma", "domain:", "replug:0",
                    "replug:", "replug:x", "reboot", "kexec:sm", "dma:12", "sync", "sync:a b",
                    "read,write", "vm", "", 3):
            with self.assertRaisesRegex(scenario.ScenarioError, "l2.program"):
                self.program("read", bad)

    def test_place_where_l2_never_waits_is_refused(self):
        for word, place in (("read", "booted"), ("sync:x", "x"), ("replug:2", "plug"),
                            ("kexec:sm_on", "sm_on"), ("rescan", "removed")):
            self.program(word, on='on.%s = ["await x"]\n' % place)
        for word, place in ("read", "plug"), ("sync:x", "y"), ("kexec:sm_on", "sm_off"):
            with self.assertRaisesRegex(scenario.ScenarioError, "never waits"):
                self.program(word, on='on.%s = ["await x"]\n' % place)

    def test_words_are_those_that_l2_knows(self):
        init = os.path.join(os.path.dirname(scenario.DIRECTORY), "guest/l2-init")
        with open(init, encoding="utf-8") as file:
            text = file.read()
        words = re.search(r"^    ([a-z]+(?:\|[a-z]+)+)\)$", text, re.M)[1].split("|")
        self.assertEqual(sorted(words), sorted(scenario.WORDS))
        for word in words:
            self.assertIn("\ndo_%s() {" % word, text)


if __name__ == "__main__":
    unittest.main()
