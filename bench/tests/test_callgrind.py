# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read out of callgrind's files."""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import callgrind  # noqa: E402

# Work of 10 + 20 + 7 instructions in QEMU, 100 + 50 in the library, which calls
# back into libc (5) and from there into itself.
SAMPLE = """\
# callgrind format
version: 1
positions: line
events: Ir
summary: 192

ob=(1) /usr/bin/qemu
fl=(1) ???
fn=(1) vtd_mem_write
0 10
cfn=(2) flatview_read
calls=3 0
0 27
cob=(2) /build/libfakehost.so
cfi=(2) ???
cfn=(3) ioctl
calls=2 0
0 155

fn=(2)
+0 20
cfn=(4) address_space_map
calls=1 +2
* 7

fn=(4)
-0 7

ob=(2)
fn=(3)
0 100
cfn=(5) print_text
calls=2 0
0 50
cob=(3) /lib/libc.so
cfn=(6) malloc
calls=1 0
0 5

fn=(5)
0 50

ob=(3)
fn=(6)
0 5

totals: 192
"""


class Parsing(unittest.TestCase):
    def setUp(self):
        self.profile = callgrind.Profile(SAMPLE.splitlines())

    def test_total_is_the_sum_of_own_costs(self):
        self.assertEqual(self.profile.total, 192)

    def test_library_is_taken_off_with_all_that_it_calls(self):
        self.assertEqual(self.profile.library, 155)
        self.assertEqual(self.profile.instructions, 37)

    def test_calls_are_counted_by_name(self):
        self.assertEqual(self.profile.calls["flatview_read"], 3)
        self.assertEqual(self.profile.calls["ioctl"], 2)

    def test_reads_are_those_of_the_function_and_of_other_ways(self):
        self.assertEqual(self.profile.reads("flatview_read"), 4)
        self.assertEqual(self.profile.reads("address_space_read_full"), 1)

    def test_read_function_must_come_out_exactly(self):
        self.assertEqual(self.profile.read_function(4, self.profile), "flatview_read")
        self.assertIsNone(self.profile.read_function(3, self.profile))

    def test_reads_in_place_are_counted(self):
        text = SAMPLE.replace("address_space_map", "vtd_accel_read_in_place")
        self.assertEqual(callgrind.Profile(text.splitlines()).reads("flatview_read"), 4)

    def test_read_function_is_the_one_of_an_earlier_profile_if_all_go_other_ways(self):
        text = SAMPLE.replace("cfn=(2) flatview_read", "cfn=(2) vtd_accel_read_in_place")
        now = callgrind.Profile(text.splitlines())
        self.assertEqual(now.read_function(4, self.profile), "flatview_read")
        earlier = callgrind.Profile(SAMPLE.replace("flatview_read", "address_space_read_full")
                                    .splitlines())
        self.assertEqual(now.read_function(4, earlier), "address_space_read_full")

    def test_recursion_is_counted_under_one_name(self):
        text = SAMPLE.replace("cfn=(4) address_space_map", "cfn=(4) flatview_read'2")
        self.assertEqual(callgrind.Profile(text.splitlines()).calls["flatview_read"], 4)

    def test_a_truncated_file_is_refused(self):
        with self.assertRaises(callgrind.Unreadable):
            callgrind.Profile(SAMPLE.splitlines()[:-2])

    def test_a_sum_that_does_not_come_out_is_refused(self):
        with self.assertRaises(callgrind.Unreadable):
            callgrind.Profile(SAMPLE.replace("-0 7", "-0 8").splitlines())


class Files(unittest.TestCase):
    def test_newest_is_the_highest_number(self):
        with tempfile.TemporaryDirectory() as directory:
            out = os.path.join(directory, "out")
            self.assertIsNone(callgrind.newest(out))
            for name in ("out", "out.9", "out.10", "out.x"):
                with open(os.path.join(directory, name), "w", encoding="utf-8"):
                    pass
            self.assertEqual(callgrind.newest(out), f"{out}.10")

    def test_all_work_is_counted(self):
        directory = tempfile.mkdtemp()
        program = os.path.join(directory, "valgrind")
        with open(program, "w", encoding="utf-8"):
            os.chmod(program, 0o755)
        path, os.environ["PATH"] = os.environ["PATH"], directory
        try:
            command = callgrind.wrapper("out", ["one", "two"])
        finally:
            os.environ["PATH"] = path
            os.remove(program)
            os.rmdir(directory)
        self.assertEqual([word for word in command if "toggle" in word],
                         ["--toggle-collect=one", "--toggle-collect=two"])

    def test_work_is_seen_from_outside_where_its_names_are_not(self):
        with tempfile.TemporaryDirectory() as directory:
            stripped, whole = (os.path.join(directory, name) for name in ("stripped", "whole"))
            with open(whole + ".c", "w", encoding="ascii") as file:
                file.write("static void work(void) {} int main(void) { work(); return 0; }")
            subprocess.run(["gcc", "-O0", "-o", whole, whole + ".c"], check=True)
            subprocess.run(["strip", "-o", stripped, whole], check=True)
            self.assertEqual(callgrind.work_of(whole, ("work", "more")), ("work", "more"))
            self.assertEqual(callgrind.work_of(stripped, ("work", "more")), callgrind.OUTSIDE)

    def test_no_valgrind_no_wrapper(self):
        path = os.environ["PATH"]
        os.environ["PATH"] = "/nonexistent"
        try:
            self.assertEqual(callgrind.wrapper("out", ["work"]), [])
        finally:
            os.environ["PATH"] = path


if __name__ == "__main__":
    unittest.main()
