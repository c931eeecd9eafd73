# SPDX-License-Identifier: GPL-2.0-or-later
"""The archive writer, read back by cpio; the scenario's archive."""
import copy
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lib import cpio, machine, scenario  # noqa: E402


def sample():
    arc = cpio.Archive()
    arc.directory("bin")
    arc.data("bin/tool", b"odd length.", 0o755)
    arc.symlink("bin/name", "tool")
    arc.device("console", 0o600, 5, 1)
    return arc.finish()


def members(data):
    return subprocess.run(["cpio", "-tv", "--quiet"], input=data, check=True,
                          capture_output=True).stdout.decode().splitlines()


class Archive(unittest.TestCase):
    def test_cpio_reads_what_was_written(self):
        lines = members(sample())
        self.assertEqual([line.split()[0] for line in lines],
                         ["drwxr-xr-x", "-rwxr-xr-x", "lrwxrwxrwx", "crw-------"])
        self.assertTrue(lines[2].endswith("bin/name -> tool"))

    def test_same_input_gives_same_bytes(self):
        self.assertEqual(sample(), sample())

    def test_archives_can_follow_one_another(self):
        self.assertEqual(len(sample()) % 4, 0)


class ScenarioArchive(unittest.TestCase):
    def make(self, **changes):
        case = {**copy.deepcopy(scenario.DEFAULTS), **changes}
        return machine.scenario_archive(case, "0" * 16)

    def test_steps_become_files(self):
        names = [line.split()[-1] for line in members(
            self.make(on={"unplug": ["qmp {}", "await X"]}))]
        self.assertIn("scenario/on-unplug", names)
        self.assertIn("scenario/qut.args", names)

    def test_fakehost_is_preloaded_only_where_needed(self):
        self.assertNotIn(b"LD_PRELOAD", self.make())
        self.assertIn(b"LD_PRELOAD=/lib/libfakehost.so", self.make(needs=["fakehost"]))

    def test_every_device_is_passed_through(self):
        data = self.make(devices=["nvme", "nvme"])
        self.assertIn(b"host=@host1@,bus=rp1,iommufd=iommufd0", data)

    def test_xen_starts_the_kernel_of_l2(self):
        l2 = dict(scenario.DEFAULTS["l2"], kernel="trixie", xen="iommu=on")
        data = self.make(l2=l2)
        self.assertIn(b"-kernel\n/l2/xen\n-append\niommu=on\n-initrd\n/l2/kernel console=", data)
        # A comma ends a module of it
        self.assertRegex(data, rb"viommu\.program=read,,write .*,/l2/initrd\n")
        self.assertIn(b"-kernel\n/l2/kernel\n-initrd\n/l2/initrd\n", self.make())


if __name__ == "__main__":
    unittest.main()
