# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/build with a made-up configure, tools/check's counting."""

import contextlib
import io
import json
import re
import shutil
import sys
import threading
import unittest
from collections import Counter
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from unittest import mock

from sandbox import TOOLS, Sandbox

sys.path.insert(0, str(TOOLS))
from common import Failure, cache_dir  # noqa: E402

# What tools/deps has put into the cache of whoever runs these tests
PYTHON = cache_dir() / "python"

CONFIGURE = """\
#!/bin/sh
echo run >> ../../configured
[ ! -e ../../break-configure ] || { echo "no compiler"; exit 1; }
cat > build.ninja <<END
rule make
  command = $MAKE_COMMAND
build qemu-system-x86_64: make
build qemu-system-aarch64: make
build contrib/viommu-host-check/viommu-host-check: make
END
"""

QTEST = """\
#!/bin/sh
echo "1..3"
echo "ok 1 /x86_64/a"
echo "ok 2 /x86_64/b # SKIP no reason"
{last}
"""


def alive(pid):
    """Whether the process runs: what was killed may wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def load_check():
    loader = SourceFileLoader("tools_check", str(TOOLS / "check"))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    with mock.patch.object(sys, "dont_write_bytecode", True):
        loader.exec_module(module)
    return module


class Stages(unittest.TestCase):
    """The parts of a check, some beside others."""

    def setUp(self):
        self.check = load_check()

    def test_every_part_has_its_place(self):
        parts = [name for name in vars(self.check) if name.startswith("part_")]
        self.assertEqual(sorted(part.__name__ for part in self.check.PARTS), sorted(parts))

    def test_two_lists_are_worked_off_side_by_side_each_in_its_order(self):
        done, both = [], threading.Barrier(2)

        def run(part):
            both.wait(60)   # breaks if one waits for the end of the other
            done.append(part)
            return Counter(passed=1)
        counts = self.check.run_stage((["a1", "a2"], ["b1", "b2"]), run)
        self.assertEqual(counts, Counter(passed=4))
        for lane in "a", "b":
            self.assertEqual([part for part in done if part[0] == lane],
                             [f"{lane}1", f"{lane}2"])

    def test_a_stage_ends_when_both_lists_are_done(self):
        first, done = threading.Event(), []

        def run(part):
            if part == "slow":
                first.wait(60)
                threading.Event().wait(0.1)
            done.append(part)
            first.set()
            return Counter(passed=1)
        self.check.run_stage((["quick"], ["slow"]), run)
        self.assertEqual(done, ["quick", "slow"])

    def test_an_exception_in_either_list_is_no_pass(self):
        def broken():
            raise ValueError

        def run(part):
            return part() or Counter(passed=1)
        with contextlib.redirect_stderr(io.StringIO()):
            with self.assertRaisesRegex(Failure, "broken or what follows it"):
                self.check.run_stage(([], [broken]), run)
            with self.assertRaises(ValueError):
                self.check.run_stage(([broken], []), run)


class Build(Sandbox):

    def setUp(self):
        super().setUp()
        self.write(self.qemu / "configure", CONFIGURE)
        (self.qemu / "configure").chmod(0o755)
        self.env["MAKE_COMMAND"] = "mkdir -p $$(dirname $out); touch $out"
        self.marks = self.root / "build/configured"

    def configured(self):
        return len(self.marks.read_text().splitlines())

    def test_build_configures_once(self):
        self.good("build")
        self.good("build")
        self.assertEqual(self.configured(), 1)
        self.assertTrue((self.root / "build/qemu/qemu-system-x86_64").exists())

    def test_changed_options_configure_again(self):
        self.good("build")
        self.good("build", CONFIGURE_ARGS="--enable-x")
        self.assertEqual(self.configured(), 2)

    def test_failed_configure_is_redone(self):
        self.write(self.root / "build/break-configure", "")
        done = self.run_tool("build")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no compiler", done.stderr)
        (self.root / "build/break-configure").unlink()
        self.good("build")

    def test_interrupted_configure_is_redone(self):
        self.good("build")
        record = self.tree / "build/viommu-configured.json"
        state = json.loads(record.read_text())
        record.write_text(json.dumps(state | {"done": False}))
        self.good("build")
        self.assertEqual(self.configured(), 2)

    def test_foreign_build_directory_is_refused(self):
        self.good("tree")
        self.write(self.tree / "build/precious", "data")
        self.assertIn("build is in use", self.bad("build"))
        self.assertTrue((self.tree / "build/precious").exists())

    def test_failing_compiler_is_shown_and_reported(self):
        done = self.run_tool("build", MAKE_COMMAND="echo it broke; exit 1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("it broke", done.stderr)
        self.assertIn("build.log", done.stderr.splitlines()[-1])

    def test_missing_tool_is_named(self):
        self.good("tree")
        for tool in "git", "env", "dpkg":
            (self.top / "bin").mkdir(exist_ok=True)
            (self.top / f"bin/{tool}").symlink_to(f"/usr/bin/{tool}")
        self.assertIn("ninja is missing", self.bad("build", PATH=str(self.top / "bin")))


    def test_every_commit_must_build(self):
        self.two_patches()
        self.good("check-each", MAKE_COMMAND="mkdir -p $$(dirname $out); touch $out")
        shutil.rmtree(self.root / "build/each")
        self.assertIn("1/2 hw/a: Say one failed", self.run_tool(
            "check-each", MAKE_COMMAND="! grep five ../hw/a.c").stderr)

    def test_commit_that_only_a_later_one_repairs_is_found(self):
        self.two_patches()
        broken = "! grep five ../hw/a.c || grep five ../hw/b.c"
        self.good("check-each", "2", MAKE_COMMAND=broken)
        done = self.run_tool("check-each", "1", "1", MAKE_COMMAND=broken)
        self.assertEqual(done.returncode, 1)
        self.assertIn("patches 1 to 2", self.bad("check-each", "3"))


class Check(Sandbox):
    """The runner must count what failed, was skipped, or did not run."""

    def setUp(self):
        super().setUp()
        self.write(self.root / "qemu/tests/qtest/x-test.c", "")
        self.program = self.root / "build/qemu/tests/qtest/x-test"
        self.write(self.root / "tools/accepted-skips", "* /x86_64/b | why\n")

    def outcome(self, last, accepted=True):
        self.write(self.program, QTEST.format(last=last))
        self.program.chmod(0o755)
        if not accepted:
            self.write(self.root / "tools/accepted-skips", "# nothing\n")
        done = self.run_tool("check", "our_tests")
        return done.returncode, done.stdout.splitlines()[-1]

    def test_pass_and_accepted_skip(self):
        self.assertEqual(self.outcome("echo ok 3 /x86_64/c"),
                         (0, "2 passed, 0 failed, 1 skipped"))

    def test_skip_that_is_not_accepted_has_failed(self):
        self.assertEqual(self.outcome("echo ok 3 /x86_64/c", accepted=False),
                         (1, "2 passed, 1 failed, 0 skipped"))

    def test_failure(self):
        self.assertEqual(self.outcome("echo not ok 3 /x86_64/c; exit 1"),
                         (1, "1 passed, 1 failed, 1 skipped"))

    def test_crash_in_the_middle_is_no_pass(self):
        self.assertEqual(self.outcome("kill -ABRT $$"),
                         (1, "1 passed, 1 failed, 1 skipped"))

    def test_each_name_must_find_a_test(self):
        """As g_test prints plans: one for each -p, that count on."""
        check = load_check()
        whole = check.Result("x", "pass", "")

        def outcomes(text, wanted):
            self.write(self.top / "log", text)
            found = check.tap_results("x", self.top / "log", whole, wanted)
            return [(result.name, result.outcome) for result in found]

        a, b = ("x /a", "pass"), ("x /b", "pass")
        error = ("x as a whole", "error")
        self.assertEqual(outcomes("ok 1 /a\n1..1\nok 2 /b\n1..2\n", 2), [a, b])
        self.assertEqual(outcomes("1..0\nok 1 /b\n1..1\n", 2), [b, error])
        self.assertEqual(outcomes("ok 1 /a\n1..1\n1..1\n", 2), [a, error])
        self.assertEqual(outcomes("ok 1 /a\n1..1\n", 2), [a, error])

    def test_missing_program_is_an_error(self):
        self.good("tree")
        done = self.run_tool("check", "our_tests")
        self.assertEqual(done.stdout.splitlines()[-1], "0 passed, 1 failed, 0 skipped")
        self.assertEqual(done.returncode, 1)

    def test_nothing_run_is_a_failure(self):
        (self.root / "qemu/tests/qtest/x-test.c").unlink()
        done = self.run_tool("check", "our_tests")
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]),
                         (1, "0 passed, 0 failed, 0 skipped"))

    def fake_scenarios(self, *lines):
        self.write(self.root / "testbed/run", "#!/bin/sh\n"
                   "[ $1 = --list ] && { echo 'a-s1  text'; echo 'a-s1.twin  text'; exit; }\n"
                   + "".join(f"echo '{line}'\n" for line in lines))
        (self.root / "testbed/run").chmod(0o755)
        done = self.run_tool("check", "scenarios")
        return done.returncode, done.stdout.splitlines()[-1]

    def test_scenarios_are_counted(self):
        self.assertEqual(self.fake_scenarios("PASS a-s1 (2 s)", "  fail: why",
                                             "FAIL a-s1.twin (2 s)"),
                         (1, "1 passed, 1 failed, 0 skipped"))
        self.assertEqual(self.fake_scenarios("PASS a-s1 (2 s)", "PASS a-s1.twin (2 s)"),
                         (0, "2 passed, 0 failed, 0 skipped"))

    def test_scenario_without_a_result_has_failed(self):
        self.assertEqual(self.fake_scenarios("PASS a-s1 (2 s)"),
                         (1, "1 passed, 1 failed, 0 skipped"))

    def test_silent_scenario_meets_the_deadline(self):
        """So does what it has started, which holds the pipe open too."""
        file = self.root / "tools/check"
        text = file.read_text(encoding="utf-8")
        self.write(file, re.sub(r"SCENARIOS_DEADLINE = \d+", "SCENARIOS_DEADLINE = 10", text))
        marker = self.top / "left"
        self.write(self.root / "testbed/run", f"""\
#!/bin/sh
[ $1 = --list ] && {{ echo 'a-s1  text'; exit; }}
(sleep 600; :) &
echo $! > {marker}
sleep 600
echo PASS a-s1
""")
        (self.root / "testbed/run").chmod(0o755)
        done = self.run_tool("check", "scenarios")
        self.assertEqual(done.stdout.splitlines()[-1], "0 passed, 1 failed, 0 skipped")
        self.assertIn("not done after 10 s", done.stdout)
        self.assertFalse(alive(int(marker.read_text())))

    def checkpatch(self, says):
        self.write(self.qemu / "scripts/checkpatch.pl", f"print '{says}';\n")
        self.two_patches()
        self.write(self.root / "patches/COVER", "A title\n\nSome text.\n")
        return self.run_tool("check", "export").stdout.splitlines()[-1]

    def test_silent_checkpatch_passes(self):
        self.assertEqual(self.checkpatch(""), "3 passed, 0 failed, 0 skipped")

    def test_checkpatch_that_says_anything_fails(self):
        self.assertEqual(self.checkpatch("WARNING: x"), "1 passed, 2 failed, 0 skipped")

    def test_unknown_part_is_refused(self):
        self.assertIn("no part nonsense", self.bad("check", "nonsense"))

    def unit_test(self, body, top=""):
        """The last line, and all, of a check whose only unit tests are these."""
        for file in (self.root / "tools/tests").glob("test_*.py"):
            file.unlink()
        (self.top / "cache").mkdir(exist_ok=True)
        (self.top / "cache/python").symlink_to(PYTHON)
        self.write(self.root / "tools/tests/test_x.py", f"""\
import os, sys, unittest
{top}
class T(unittest.TestCase):
{body}""")
        said = self.run_tool("check", "unit").stdout
        return said.splitlines()[-1], said

    def test_unit_tests_are_counted(self):
        last, said = self.unit_test("""\
    def test_good(self):
        \"\"\"With a line of description.\"\"\"
        print("not ok 7 noise")
    def test_bad(self):
        self.fail()
    @unittest.skip("x")
    def test_skipped(self):
        pass
""")
        self.assertEqual(last, "1 passed, 2 failed, 0 skipped")
        self.assertIn("FAIL: tools/tests/test_x.py test_x.T.test_bad:", said)
        self.assertIn("test_skipped: skipped, which tools/accepted-skips", said)

    def test_unit_tests_that_end_in_the_middle(self):
        last, said = self.unit_test("""\
    def test_a(self):
        pass
    def test_b(self):
        os._exit(0)
""")
        self.assertEqual(last, "1 passed, 1 failed, 0 skipped")
        self.assertIn("test_x.py as a whole", said)

    def test_unit_tests_that_cannot_be_loaded(self):
        self.assertEqual(self.unit_test("    pass\n", "import no_such_module")[0],
                         "0 passed, 1 failed, 0 skipped")

    def test_failed_subtest_is_no_pass(self):
        self.assertEqual(self.unit_test("""\
    def test_a(self):
        with self.subTest():
            self.fail()
""")[0], "0 passed, 1 failed, 0 skipped")

    def test_file_without_unit_tests_is_an_error(self):
        self.assertEqual(self.unit_test("    pass\n")[0], "0 passed, 1 failed, 0 skipped")


if __name__ == "__main__":
    unittest.main()
