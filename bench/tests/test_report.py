# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits, table and plot from made-up rows."""
import json
import os
import sys
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import figures  # noqa: E402
import limits  # noqa: E402
import measure  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import requests_workloads  # noqa: E402
import smmuv3_workloads  # noqa: E402


def row(**changes):
    found = {"qemu": "series 10.0.13", "model": "vtd", "workload": "piotlb-burst",
             "devices": 1, "pasids": 1, "burst": 32, "descriptors": 32, "ioctls": 1,
             "entries": 32, "guest_reads": 33, "instructions": 3200, "seconds": 1e-5}
    return {**found, **changes}


def judge(rows, one=measure.Built(1, 1, 4096), eight=measure.Built(1, 1, 4096), memfd=None,
          sent=None, heap=None):
    return [limit.holds for limit in limits.vtd(rows, one, eight, memfd, sent, heap)]


(ONE, EIGHT, SELECTIVE, PASID, GLOBAL, BUILT, START, GROWTH, JOINED, HEAP, ALONE, BURST,
 MANY, DIRECTORY, BINDING) = range(15)


class Limits(unittest.TestCase):
    def test_without_rows_nothing_holds_and_nothing_fails(self):
        self.assertEqual(judge([], None, None), [None] * 15)

    def test_one_call_for_a_burst(self):
        rows = [row(), row(devices=8, ioctls=8)]
        self.assertEqual(judge(rows)[:2], [True, False])

    def test_a_burst_of_another_length_is_no_evidence(self):
        self.assertIsNone(judge([row(burst=16)])[ONE])

    def test_reads_per_entry(self):
        base = {"workload": "pasid-cache-selective-unchanged", "devices": 8, "burst": 1,
                "ioctls": 0}
        for reads, holds in ((8, True), (9, False), (None, None)):
            self.assertIs(judge([row(**base, guest_reads=reads)])[SELECTIVE], holds)
            self.assertIs(judge([row(**base, guest_reads=reads, pasids=64)])[PASID], holds)

    def test_a_call_is_a_call_though_reads_are_unknown(self):
        rows = [row(workload="pasid-cache-global-unchanged", devices=8, pasids=64, burst=1,
                    ioctls=1, guest_reads=None)]
        self.assertIs(judge(rows)[GLOBAL], False)

    def test_global_reads(self):
        base = {"workload": "pasid-cache-global-unchanged", "devices": 8, "burst": 1,
                "ioctls": 0}
        for reads, holds in ((24, True), (25, False)):
            self.assertIs(judge([row(**base, pasids=64, guest_reads=reads)])[GLOBAL], holds)
        # Without PASIDs nothing is walked: no evidence
        self.assertIsNone(judge([row(**base, guest_reads=4)])[GLOBAL])

    def test_instructions(self):
        for limit, most, changes in (
                (ALONE, 1100, {"burst": 1, "descriptors": 1}),
                (BURST, 250, {}),
                (MANY, 3000, {"workload": "pasid-cache-selective-unchanged", "devices": 64,
                              "burst": 1, "descriptors": 1, "guest_reads": 1}),
                (DIRECTORY, 40000, {"workload": "pasid-cache-global-unchanged", "pasids": 64,
                                    "burst": 1, "descriptors": 1}),
                (BINDING, 3000, {"workload": "bind-unbind", "devices": 64, "burst": 2,
                                 "descriptors": 256, "guest_reads": 400})):
            found = row(**changes)
            total = most * found["descriptors"]
            for instructions, holds in ((total, True), (total + 1, False), (None, None)):
                self.assertIs(judge([{**found, "instructions": instructions}])[limit], holds)

    def test_reads_in_all(self):
        found = row(workload="bind-unbind", devices=64, burst=2, descriptors=256)
        for reads, holds in ((400, True), (401, False), (None, None)):
            self.assertIs(judge([{**found, "guest_reads": reads}])[BINDING], holds)

    def test_heap(self):
        for found, holds in ((None, None), (0, True), (256, True), (256.1, False)):
            self.assertIs(judge([], heap=found)[HEAP], holds)

    def test_memory_mapped_twice_or_two_parents(self):
        for eight in (measure.Built(1, 1, 8192), measure.Built(1, 2, 4096),
                      measure.Built(8, 1, 4096)):
            self.assertIs(judge([], eight=eight)[BUILT], False)
        self.assertIs(judge([])[BUILT], True)

    def test_a_call_for_each_piece_of_memory(self):
        one = measure.Built(1, 1, 4096, 3, 4, 0)
        file = one._replace(by_address=0, by_file=4)
        for found, holds in (
                ((one, one, file), True),
                ((one, one, one), False),                       # not by the file
                ((one, one, file._replace(by_file=5)), False),
                ((one, one, file._replace(mapped=8192)), False),
                ((one, one._replace(by_address=32), file), False),
                ((one._replace(areas=2), one, file), False)):
            self.assertIs(judge([], *found)[START], holds)
        self.assertIsNone(judge([])[START])

    def test_growth_needs_the_row_with_64_pasids(self):
        rows = [row(), row(devices=64, instructions=99999)]
        self.assertIsNone(judge(rows)[GROWTH])
        for instructions, holds in ((4160, True), (4162, False)):
            more = [*rows, row(devices=64, pasids=64, instructions=instructions)]
            self.assertIs(judge(more)[GROWTH], holds)

    def test_blocks(self):
        self.assertEqual(limits.blocks(range(1, 8)), [(1, 1), (2, 2), (4, 4)])
        self.assertEqual(limits.blocks([3, 4, 9]), [(3, 1), (4, 1), (9, 1)])
        self.assertEqual(limits.blocks([]), [])

    def test_joined_exactly(self):
        best = limits.blocks(limits.JOINED_PAGES)
        self.assertIs(judge([], sent=best[::-1])[JOINED], True)
        self.assertIs(judge([], sent=[(0, 64)])[JOINED], False)
        self.assertIs(judge([], sent=[(page, 1) for page in limits.JOINED_PAGES])[JOINED],
                      False)

    def test_log_lines_that_are_no_success_do_not_count(self):
        log = ("7 iommufd0 IOMMU_HWPT_INVALIDATE hwpt_id=4 entry_num=2 "
               "[0x1000:1:0x0 0x2000:2:0x0] = 0\n"
               "8 iommufd0 IOMMU_HWPT_INVALIDATE hwpt_id=4 [0x9000:1:0x0] = -1 EIO injected\n"
               "9 dev0 VFIO_DEVICE_RESET = 0\n")
        self.assertEqual(measure.logged_entries(log), [(1, 1), (2, 2)])


class RequestLimits(unittest.TestCase):
    def judge(self, rows=(), drained=None):
        return [limit.holds for limit in limits.requests(
            [row(model="vtd-requests", workload="page-request-drain", burst=100, descriptors=100,
                 **changes) for changes in rows], drained)]

    def test_without_rows_nothing_holds_and_nothing_fails(self):
        self.assertEqual(self.judge(), [None] * 3)

    def test_calls_are_few(self):
        for reads, writes, holds in ((1, 1, True), (2, 1, True), (3, 1, False), (1, 2, False),
                                     (0, 0, False)):
            drained = requests_workloads.Drained(reads, writes)
            self.assertIs(self.judge(drained=drained)[0], holds)

    def test_request_and_response_are_one(self):
        for instructions, holds in ((250000, True), (250100, False)):
            self.assertIs(self.judge([{"instructions": instructions}])[1], holds)

    def test_other_devices_cost_little(self):
        for instructions, holds in ((130000, True), (130100, False)):
            self.assertIs(self.judge([{"instructions": 100000}, {
                "instructions": instructions, "devices": 64}])[2], holds)


class SmmuLimits(unittest.TestCase):
    def judge(self, rows=(), drained=None):
        return [limit.holds for limit in limits.smmuv3(
            [row(model="smmuv3", **changes) for changes in rows], drained)]

    def test_without_rows_nothing_holds_and_nothing_fails(self):
        self.assertEqual(self.judge(), [None] * 8)

    def test_a_burst_is_one_call_with_all_entries(self):
        for ioctls, entries, holds in ((1, 64, True), (2, 64, False), (1, 63, False)):
            burst = {"workload": "tlbi-burst", "burst": 64, "ioctls": ioctls,
                     "entries": entries}
            self.assertIs(self.judge([burst])[0], holds)

    def test_neighbours_are_one_entry(self):
        for entries, holds in ((1, True), (2, False)):
            burst = {"workload": "tlbi-neighbours", "burst": 64, "ioctls": 1, "entries": entries}
            self.assertIs(self.judge([burst])[6], holds)

    def test_unchanged_entries_cost_an_invalidation_at_most(self):
        for ioctls, entries, holds in ((0, 0, True), (1, 1, True), (1, 0, False),
                                       (2, 2, False)):
            unit = {"burst": 1, "ioctls": ioctls, "entries": entries}
            self.assertIs(self.judge([{"workload": "cfgi-ste-unchanged", **unit}])[1], holds)
            self.assertIs(self.judge([{"workload": "cfgi-all-unchanged", "devices": 32,
                                       **unit}])[2], holds)

    def test_events(self):
        for reads, interrupts, holds in ((1, 1, True), (2, 1, True), (3, 1, False),
                                         (1, 2, False), (0, 0, False)):
            drained = smmuv3_workloads.Drained(reads, interrupts)
            self.assertIs(self.judge(drained=drained)[3], holds)

    def test_growth_is_per_command(self):
        for instructions, holds in ((4160, True), (4162, False)):
            rows = [{"workload": "tlbi-burst"}, {"workload": "tlbi-burst", "devices": 32,
                                                 "instructions": instructions}]
            self.assertIs(self.judge(rows)[4], holds)

    def test_one_entry_costs_the_same_with_many_devices(self):
        for instructions, holds in ((4160, True), (4162, False)):
            rows = [{"workload": "cfgi-ste-unchanged", "burst": 1},
                    {"workload": "cfgi-ste-unchanged", "burst": 1, "devices": 32,
                     "instructions": instructions}]
            self.assertIs(self.judge(rows)[5], holds)

    def test_all_entries_cost_little_by_instructions_and_reads(self):
        for instructions, reads, holds in ((6000, 4, True), (6001, 4, False), (6000, 5, False),
                                           (None, None, None)):
            self.assertIs(self.judge([{
                "workload": "cfgi-all-unchanged", "devices": 32, "burst": 1, "descriptors": 1,
                "instructions": instructions, "guest_reads": reads}])[7], holds)


class Table(unittest.TestCase):
    def lines(self, rows, qemus):
        return report.table(rows, qemus).splitlines()

    def test_a_line_per_unit_a_group_per_qemu(self):
        rows = [row(), row(qemu="peer 11.0.0", ioctls=32, seconds=3e-5), row(devices=8)]
        lines = self.lines(rows, ["series 10.0.13", "peer 11.0.0"])
        self.assertIn("series 10.0.13", lines[0])
        self.assertIn("peer 11.0.0", lines[0])
        self.assertEqual(lines[2], "piotlb-burst")
        first, second = [line.split("|") for line in lines[4:]]
        self.assertEqual(first[0].split(), ["1", "1", "32", "32"])
        self.assertEqual(first[1].split(), ["1", "32", "33", "100", "1.00", "×"])
        self.assertEqual(first[2].split(), ["32", "32", "33", "100", "3.00", "×"])
        self.assertEqual(second[2].split(), ["-"] * 5)

    def test_what_was_not_measured_is_not_a_number(self):
        line = self.lines([row(guest_reads=None, instructions=None)], ["series 10.0.13"])[-1]
        self.assertEqual(line.split("|")[1].split(), ["1", "32", "-", "-", "1.00", "×"])

    def test_zero_is_a_number(self):
        line = self.lines([row(ioctls=0, entries=0)], ["series 10.0.13"])[-1]
        self.assertEqual(line.split("|")[1].split()[:2], ["0", "0"])

    def test_one_more_descriptor_without_what_a_doorbell_costs(self):
        rows = [row(qemu=qemu, burst=burst, descriptors=burst, instructions=cost)
                for qemu, burst, cost in (
                    ("a 1", 1, 2000), ("a 1", 32, 1000 + 32 * 250), ("a 1", 256, 1000 + 256 * 250),
                    ("b 1", 32, 5000 + 32 * 1400), ("b 1", 256, 5000 + 256 * 1400))]
        rows.append(row(qemu="a 1", devices=8, burst=256, descriptors=256))
        lines = report.further(rows, ["a 1", "b 1", "c 1"]).splitlines()
        self.assertEqual(lines[2:], ["piotlb-burst, 1 × 1: 250, 1400, -"])

    def test_limits(self):
        words = report.limits([limits.Limit("a", "b", held) for held in (True, False, None)])
        self.assertEqual([line.split("  a")[0].strip() for line in words.splitlines()],
                         ["holds", "does not hold", "not measured"])


class Figures(unittest.TestCase):
    def changes(self, *now):
        return figures.changes(figures.of([row()]), figures.of(now))

    def test_the_same_is_no_change(self):
        self.assertEqual(self.changes(row(seconds=1)), [])

    def test_a_count_that_differs_by_one(self):
        line, = self.changes(row(guest_reads=34))
        self.assertIn("33 -> 34 reads", line)
        self.assertNotIn("calls", line)

    def test_instructions_may_differ_by_little(self):
        self.assertEqual(self.changes(row(instructions=3264)), [])
        for instructions in (3136 - 64, 3264 + 64):
            line, = self.changes(row(instructions=instructions))
            self.assertIn(f"100 -> {instructions // 32} instructions per descriptor", line)

    def test_what_is_not_measured_is_not_zero(self):
        line, = self.changes(row(instructions=None))
        self.assertIn("100 -> None instructions", line)

    def test_rows_that_come_and_go(self):
        gone, new = self.changes(row(devices=8))
        self.assertIn("1 × 1, burst 32: not measured now", gone)
        self.assertIn("8 × 1, burst 32: no figures yet", new)

    def test_a_start_has_names_of_its_own(self):
        line, = figures.changes({"vtd start, 8 × 1, memfd": [0, 4, 65344]},
                                {"vtd start, 8 × 1, memfd": [4, 0, 65344]})
        self.assertIn("0 -> 4 calls by address, 4 -> 0 calls by file", line)
        self.assertNotIn("KiB", line)

    def test_text_is_read_back(self):
        found = figures.of([row(), row(burst=1, instructions=None)])
        self.assertEqual(json.loads(figures.text(found)), found)
        self.assertEqual(len(figures.text(found).splitlines()), 4)

    def test_those_committed_have_rows_of_all_models(self):
        names = json.loads(figures.COMMITTED.read_text(encoding="utf-8"))
        self.assertEqual({name.split()[0] for name in names},
                         {"vtd", "vtd-requests", "smmuv3"})


class Plot(unittest.TestCase):
    def shapes(self, rows, tag):
        root = ElementTree.fromstring(plot.plot(rows))
        return root.findall(f"{{http://www.w3.org/2000/svg}}{tag}")

    def test_a_line_per_measure(self):
        rows = [row(devices=devices) for devices in (1, 8, 64)]
        self.assertEqual(len(self.shapes(rows, "polyline")), len(plot.MEASURES))
        self.assertEqual(len(self.shapes(rows, "circle")), 3 * len(plot.MEASURES))

    def test_rows_over_pasids_have_panels_of_their_own(self):
        rows = [row(devices=devices) for devices in (1, 8)]
        both = [*rows, row(pasids=64), row(devices=8, pasids=64)]
        self.assertEqual(len(self.shapes(both, "polyline")), sum(
            len(measures) for _, _, measures in plot.BLOCKS))
        words = [text.text for text in self.shapes(both, "text")]
        self.assertIn("bound PASIDs, 1 device", words)
        # The one with 8 devices and 64 PASIDs is on no axis
        self.assertEqual(plot.series(both, "piotlb-burst", "ioctls", "pasids"),
                         {("series 10.0.13", 32): [(1, 1 / 32), (64, 1 / 32)]})

    def test_models_have_blocks_of_their_own(self):
        rows = [row(), row(model="smmuv3", workload="tlbi-burst")]
        self.assertEqual([axis for _, axis, _, _ in plot.blocks(rows)], ["devices"] * 2)
        self.assertEqual(len(self.shapes(rows, "polyline")), 2 * len(plot.MEASURES))

    def test_what_was_not_measured_is_said(self):
        words = [text.text for text in self.shapes([row(guest_reads=None)], "text")]
        self.assertIn("not measured", words)
        self.assertEqual(len(self.shapes([row(guest_reads=None)], "circle")),
                         len(plot.MEASURES) - 1)

    def test_names_are_escaped(self):
        words = [text.text for text in self.shapes([row(qemu="<a & b>")], "text")]
        self.assertIn("<a & b>", words)

    def test_everything_is_inside(self):
        rows = [row(devices=devices, ioctls=devices) for devices in (1, 8, 64)]
        root = ElementTree.fromstring(plot.plot(rows))
        for circle in self.shapes(rows, "circle"):
            self.assertTrue(0 < float(circle.get("cx")) < float(root.get("width")))
            self.assertTrue(0 < float(circle.get("cy")) < float(root.get("height")))

    def test_axis_ends(self):
        for value, top in ((0, 1), (1, 1), (1.2, 1.5), (33, 40), (5999, 6000), (0.03, 0.03)):
            self.assertAlmostEqual(plot.nice_top(value), top)

    def test_few_bursts_are_shown(self):
        self.assertEqual(plot.some_bursts([1, 4, 16, 32, 64, 128, 256]), [1, 32, 256])
        self.assertEqual(plot.some_bursts([32, 1, 1]), [1, 32])


if __name__ == "__main__":
    unittest.main()
