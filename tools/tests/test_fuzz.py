# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/fuzz and the part fuzz of tools/check with a made-up fuzzer."""

import io
import tarfile
import unittest

from sandbox import Sandbox

CONFIGURE = """\
#!/bin/sh
cat > build.ninja <<END
rule make
  command = printf '%s\\\\n' "\\$\\$FUZZER" > \\$out && chmod +x \\$out
build qemu-fuzz-x86_64: make
build qemu-fuzz-aarch64: make
build tests/qtest/fakehost/libfakehost.so: make
END
"""

# It finds one input in each search, and copies it when merging
FUZZER = """\
#!/bin/sh
executed=3
for arg; do
    case $arg in
    -runs=0) mode=corpus;;
    -max_total_time=*) mode=new; executed=50;;
    -merge=1) mode=merge;;
    --fuzz-target=*) target=${arg#*=};;
    -*) ;;
    *) dirs="$dirs $arg";;
    esac
done
set -- $dirs
case $mode in
new) echo found > $1/found;;
merge) cp $2/* $1/;;
esac
echo "$mode" >> ../../ran
echo "$target ${0##*/}" >> ../../programs
echo "#7 INITED cov: 12 ft: 20"
echo "stat::number_of_executed_units: ${EXECUTED:-$executed}"
[ "$mode" != "$BREAKS" ] || {
    seq -f "before %g" 100
    echo "fuzz: it broke"
    seq -f "#%g frame" 100
    echo "Base64: aW5wdXQ="
    seq -f "after %g" 100
    exit 77
}
"""


class Fuzz(Sandbox):

    def setUp(self):
        super().setUp()
        self.write(self.qemu / "configure", CONFIGURE)
        (self.qemu / "configure").chmod(0o755)
        for target in ("x86_64", "aarch64"):
            self.write(self.qemu / f"configs/devices/{target}-softmmu/default.mak", "")
        self.have_targets('"made-up": "qemu-fuzz-x86_64"')
        self.keep("made-up", "a", "b")
        self.env["FUZZER"] = FUZZER

    def archive(self, target):
        return self.root / f"fuzz/corpus/{target}.tar"

    def keep(self, target, *names):
        self.archive(target).parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(self.archive(target), "w", format=tarfile.USTAR_FORMAT) as tar:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = 1
                tar.addfile(member, io.BytesIO(name[-1:].encode()))

    def kept(self):
        with tarfile.open(self.archive("made-up")) as tar:
            return tar.getnames()

    def have_targets(self, text):
        file = self.root / "tools/fuzzing.py"
        source = file.read_text(encoding="utf-8")
        start = source.index("TARGETS = {")
        end = source.index("}", start)
        self.write(file, f"{source[:start]}TARGETS = {{{text}{source[end:]}")

    def check(self, **env):
        done = self.run_tool("check", "fuzz", **env)
        return done.returncode, done.stdout.splitlines()[-1]

    def ran(self):
        return (self.root / "build/ran").read_text(encoding="utf-8").split()

    def test_corpus_and_new_inputs_are_two_tests(self):
        self.assertEqual(self.check(), (0, "2 passed, 0 failed, 0 skipped"))
        self.assertEqual(self.ran(), ["corpus", "new"])

    def test_each_target_has_its_program(self):
        self.have_targets('"made-up": "qemu-fuzz-x86_64", "other": "qemu-fuzz-aarch64"')
        self.keep("other", "a")
        self.assertEqual(self.check(), (0, "4 passed, 0 failed, 0 skipped"))
        # Two targets run at a time
        programs = (self.root / "build/programs").read_text(encoding="utf-8").splitlines()
        self.assertEqual(sorted(programs), ["made-up qemu-fuzz-x86_64"] * 2 +
                         ["other qemu-fuzz-aarch64"] * 2)

    def test_what_is_found_by_a_check_is_not_kept(self):
        self.check()
        self.assertEqual(self.kept(), ["a", "b"])

    def test_input_of_the_corpus_that_fails(self):
        self.assertEqual(self.check(BREAKS="corpus"), (1, "1 passed, 1 failed, 0 skipped"))

    def test_new_input_that_fails(self):
        self.assertEqual(self.check(BREAKS="new"), (1, "1 passed, 1 failed, 0 skipped"))

    def test_failure_says_what_broke_and_the_input_and_at_the_end_again(self):
        lines = self.run_tool("check", "fuzz", BREAKS="new").stdout.splitlines()
        last = lines[lines.index("failed: fuzz made-up new inputs: status 77"):]
        self.assertEqual(last[1], "    fuzz: it broke")
        self.assertEqual(last[-2], "    Base64: aW5wdXQ=")
        self.assertLess(len(last), 40)
        self.assertNotIn("before", "".join(last))
        self.assertEqual(lines.count("    fuzz: it broke"), 2)

    def test_failure_without_a_word_shows_the_end_of_the_log(self):
        self.env["FUZZER"] = FUZZER.replace("fuzz: it broke", "it").replace("Base64: ", "")
        self.assertIn("    after 100\n", self.run_tool("check", "fuzz", BREAKS="new").stdout)

    def test_fuzzer_that_executes_less_than_the_corpus_has_failed(self):
        self.assertEqual(self.check(EXECUTED="1"), (1, "0 passed, 2 failed, 0 skipped"))

    def test_empty_corpus_is_a_failure(self):
        self.keep("made-up")
        self.assertEqual(self.check(), (1, "1 passed, 1 failed, 0 skipped"))
        self.archive("made-up").unlink()
        self.assertEqual(self.check(), (1, "1 passed, 1 failed, 0 skipped"))

    def test_missing_fuzzer_is_a_failure(self):
        self.write(self.qemu / "configure", "#!/bin/sh\necho 'rule x' > build.ninja\n")
        (self.qemu / "configure").chmod(0o755)
        self.assertEqual(self.check(), (1, "0 passed, 1 failed, 0 skipped"))

    def test_search_keeps_what_is_new(self):
        self.assertIn("3 inputs in the corpus", self.good("fuzz", "made-up", "1"))
        self.assertEqual(self.kept(), ["a", "b", "found"])

    def test_merge_that_finds_nothing_leaves_the_archive_as_it_was(self):
        self.env["FUZZER"] = FUZZER.replace("new) echo found > $1/found", "new)")
        before = self.archive("made-up").read_bytes()
        self.good("fuzz", "made-up", "1")
        self.assertEqual(self.archive("made-up").read_bytes(), before)

    def test_archive_with_something_else_in_it_is_refused(self):
        for name in "../a", "d/a":
            self.keep("made-up", name)
            self.assertIn(f"{name} is no input", self.run_tool("check", "fuzz").stdout)
        self.archive("made-up").write_bytes(b"x" * 700)
        self.assertIn("made-up.tar: ", self.run_tool("check", "fuzz").stdout)

    def test_search_that_fails_keeps_nothing(self):
        self.assertIn("status 77", self.bad_end("fuzz", "made-up", "1", BREAKS="new"))
        self.assertEqual(self.kept(), ["a", "b"])

    def test_unknown_target_is_refused(self):
        self.assertIn("no target nonsense; there are: made-up", self.bad("fuzz", "nonsense"))

    def bad_end(self, name, *args, **env):
        """The last line of a tool that fails after it has shown progress."""
        done = self.run_tool(name, *args, **env)
        self.assertEqual(done.returncode, 1)
        return done.stderr.splitlines()[-1]


if __name__ == "__main__":
    unittest.main()
