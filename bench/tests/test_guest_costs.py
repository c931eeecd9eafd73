# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts of made-up runs of a guest, made into rows; and the set-ups as scenarios."""
import os
import sys
import unittest
from pathlib import Path
from unittest import mock

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(TOP, "testbed"), os.path.join(TOP, "tools")]
import guest_costs as costs  # noqa: E402
import guest_plot  # noqa: E402
from lib import machine, scenario, verdict  # noqa: E402

NESTED = costs.Setup("nested", "strict", "x86_64", None, "iommu.strict=1")
# At each label: iommufd calls, accesses to the registers, instructions of QEMU
COUNTS = {"warm": (10, 100, 1000), "single": (1010, 1105, 901000), "eight": (1300, 1400, 1201000),
          "nothing": (1300, 1405, 1202000), "few": (1310, 1420, 1210000),
          "many": (1832, 1500, 1474000)}
COUNTING = 12345        # instructions that counting itself took


def counts():
    return {label: tuple({"iommufd_calls": calls, "page-fed90": registers, "kvm_run": registers,
                          "qut_insns": instructions + COUNTING * counted ** 2}
                         for counted in (place, place + 1))
            for place, (label, (calls, registers, instructions)) in enumerate(COUNTS.items())}


class RowsTest(unittest.TestCase):
    def setUp(self):
        self.rows = {row["work"]: row for row in costs.rows(NESTED, counts())}

    def test_what_a_sync_costs_is_taken_off(self):
        row = self.rows["1,000 reads, one at a time"]
        self.assertEqual((row["iommufd_calls"], row["registers"], row["qut_insns"]),
                         (1000, 1000, 899000))

    def test_setting_up_is_taken_off_and_rounds_divided(self):
        row = self.rows["map and unmap 2 MiB, a large page"]
        self.assertEqual(row["iommufd_calls"], (522 - 10) / 256)
        self.assertEqual(row["qut_insns"], (264000 - 8000) / 256)

    def test_work_that_was_not_done_has_no_row(self):
        self.assertNotIn("map and unmap 2 MiB, small pages", self.rows)

    def test_registers_that_nobody_counts_are_not_zero(self):
        rows = costs.rows(NESTED._replace(arch="arm64"), counts())
        self.assertEqual({row["registers"] for row in rows}, {None})

    def test_a_set_up_says_whose_rows_they_are(self):
        row = self.rows["1,000 reads, one at a time"]
        self.assertEqual((row["arch"], row["setup"], row["mode"]), ("x86_64", "nested", "strict"))

    def test_table_has_set_ups_in_columns_and_no_line_of_zeros(self):
        other = [dict(row, mode="lazy") for row in self.rows.values()]
        text = costs.table([*self.rows.values(), *other])
        lines = text.splitlines()
        self.assertEqual(lines[1], "1,000 reads, one at a time (x86_64)")
        self.assertEqual(lines[2].split("  ")[-2:], ["nested strict", "nested lazy"])
        self.assertIn("899,000", text)
        self.assertNotIn("copies", text)


class PlotTest(unittest.TestCase):
    def test_a_panel_has_the_set_ups_of_its_machine(self):
        rows = costs.rows(NESTED, counts())
        rows += [dict(row, arch="arm64", mode="lazy") for row in rows]
        text = guest_plot.commands(rows)
        self.assertEqual(text.count("$data << END"), 4)
        self.assertIn('"nested\\nstrict" 1000.000 1000.000 0.000', text)
        self.assertIn('"nested\\nlazy" 0.000 0.899', text)

    def test_what_was_not_measured_is_not_zero(self):
        rows = costs.rows(NESTED, counts())
        rows += [dict(row, mode="lazy", iommufd_calls=None) for row in rows]
        self.assertIn("1000.000 NaN 0.000", guest_plot.commands(rows))
        line = next(text for text in costs.table(rows).splitlines() if "iommufd calls" in text)
        self.assertEqual(line.split()[-1], "-")

    def test_equal_rows_give_equal_commands(self):
        rows = costs.rows(NESTED, counts())
        self.assertEqual(guest_plot.commands(rows), guest_plot.commands(list(rows)))

    def test_what_is_no_picture_is_an_error(self):
        with mock.patch.object(guest_plot.debian, "unpack_root", lambda *_, **__: Path("/bin")), \
                mock.patch.object(guest_plot.subprocess, "run", lambda *_, **__: mock.Mock(
                    returncode=0, stdout="", stderr="")):
            with self.assertRaisesRegex(guest_plot.Failure, "no picture"):
                guest_plot.draw(costs.rows(NESTED, counts()))


class MarksTest(unittest.TestCase):
    def test_joined_in_order(self):
        marks = costs.parse_marks("qut_insns=5 vm_entries=1\nqut_insns=6 vm_entries=1\n"
                                  "qut_insns=7 vm_entries=2\nqut_insns=9 vm_entries=2\n")
        found = costs.joined(["start", "end"], {"start": {"a": 1}, "end": {"a": 2}}, marks)
        self.assertEqual(found["end"], ({"a": 2, "qut_insns": 7, "vm_entries": 2},
                                        {"a": 2, "qut_insns": 9, "vm_entries": 2}))

    def test_a_mark_that_is_missing_is_no_shift(self):
        with self.assertRaisesRegex(ValueError, "2 times, and the plugin of L0 has 3"):
            costs.joined(["start", "end"], {"start": {}, "end": {}}, [{}] * 3)


class SetupsTest(unittest.TestCase):
    def scenarios(self):
        for setup in costs.SETUPS:
            name = costs.label(setup)
            yield setup, scenario.made(name, verdict.CHECKS, **costs.scenario(setup))

    def test_labels_differ(self):
        self.assertEqual(len({costs.label(setup) for setup in costs.SETUPS}), len(costs.SETUPS))

    def test_each_waits_where_work_begins_and_ends(self):
        for setup, wanted in self.scenarios():
            labels = [word.partition(":")[2] for word in wanted["l2"]["program"]
                      if word.startswith("sync:")]
            for begin, end in (interval for pair in costs.WORK.values() for interval in pair[:2]
                               if pair[0][1] in labels):
                self.assertLess(labels.index(begin), labels.index(end), setup)

    def test_nobody_traces_while_it_is_measured(self):
        for _, wanted in self.scenarios():
            self.assertNotIn("-trace", machine.qut_command(wanted, "tag"))

    def test_only_one_without_a_viommu_has_none(self):
        for setup, wanted in self.scenarios():
            command = " ".join(machine.qut_command(wanted, "tag"))
            self.assertEqual("intel-iommu" in command or "arm-smmuv3" in command,
                             setup.name != "no vIOMMU")

    def test_a_scenario_with_a_mistake_is_refused(self):
        for keys in ({"checks": ["no_such"]}, {"l2": {"program": ["random:0"]}},
                     {"l2": {"program": ["vfio:4:big"]}}):
            with self.assertRaises(scenario.ScenarioError):
                scenario.made("x86-a", verdict.CHECKS, **{
                    "description": "d", "checks": ["qut_exit"], **keys})


if __name__ == "__main__":
    unittest.main()
