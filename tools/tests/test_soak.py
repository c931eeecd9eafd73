# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/soak with made-up tests and a made-up fuzzer."""

import json
import unittest

from sandbox import Sandbox

CONFIGURE = """\
#!/bin/sh
cat > build.ninja <<END
rule fuzzer
  command = printf '%s\\\\n' "\\$\\$FUZZER" > \\$out && chmod +x \\$out
rule test
  command = mkdir -p tests/qtest && printf '%s\\\\n' "\\$\\$QTEST" > \\$out && chmod +x \\$out
build qemu-fuzz-x86_64: fuzzer
build qemu-fuzz-aarch64: fuzzer
build tests/qtest/fakehost/libfakehost.so: fuzzer
END
for target in qemu-system-x86_64 qemu-system-aarch64 \\
    tests/qtest/vtd-accel-soak-test tests/qtest/smmuv3-accel-soak-test; do
    echo "build $target: test" >> build.ninja
done
"""

FUZZER = """\
#!/bin/sh
case $* in
*smmuv3-cmdqv*) taken=${CMDQV_TAKEN:-5};;
*smmuv3-accel*) taken=${SMMUV3_TAKEN:-70};;
*) taken=${VTD_TAKEN:-1000};;
esac
echo "stat::number_of_executed_units: 50"
echo "stat::descriptors_taken: $taken"
exit ${FUZZER_STATUS:-0}
"""

QTEST = """\
#!/bin/sh
echo "# ${SOAK_ROUNDS} rounds: heap +0 bytes"
echo "${OUTCOME:-ok} 1 /a"
echo "${0##*/} $SOAK_ROUNDS" >> ../../ran
exit ${QTEST_STATUS:-0}
"""


class Soak(Sandbox):

    def setUp(self):
        super().setUp()
        self.write(self.qemu / "configure", CONFIGURE)
        (self.qemu / "configure").chmod(0o755)
        for target in ("x86_64", "aarch64"):
            self.write(self.qemu / f"configs/devices/{target}-softmmu/default.mak", "")
        (self.root / "bench").mkdir()
        self.env.update(FUZZER=FUZZER, QTEST=QTEST)
        self.env.pop("SOAK_ROUNDS", None)

    def counted(self):
        return list(json.loads((self.root / "bench/soak.json").read_text()).values())

    def test_counts_add_up(self):
        self.assertIn("1,075 of 100,000,000 descriptors, 0.00 %", self.good("soak", "1"))
        said = self.good("soak", "1", VTD_TAKEN="4000000")
        self.assertIn("vtd-accel: 4,001,000 in all", said)
        self.assertIn("4,001,150 of 100,000,000 descriptors, 4.00 %", said)
        self.assertEqual(self.counted(), [{"vtd-accel": 4001000, "smmuv3-accel": 140,
                                            "smmuv3-cmdqv": 10}])

    def test_another_series_is_counted_by_itself(self):
        self.good("soak", "1")
        self.write(self.root / "qemu/hw/new.c", "something\n")
        said = self.good("soak", "1")
        self.assertEqual(self.counted(), [{"vtd-accel": 1000, "smmuv3-accel": 70,
                                            "smmuv3-cmdqv": 5}] * 2)
        self.assertIn("2,150 of 100,000,000", said)

    def test_rounds_are_a_thousand_unless_told_otherwise(self):
        self.good("soak", "1")
        self.good("soak", "1", SOAK_ROUNDS="20")
        self.assertEqual((self.root / "build/ran").read_text().splitlines(),
                         [f"{name}-accel-soak-test {rounds}" for rounds in (1000, 20)
                          for name in ("vtd", "smmuv3")])

    def test_what_fails_is_not_counted(self):
        for env in ({"QTEST_STATUS": "1"}, {"OUTCOME": "not ok"}, {"OUTCOME": "nothing"},
                    {"FUZZER_STATUS": "77"}, {"VTD_TAKEN": "0"}):
            done = self.run_tool("soak", "1", **env)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr.splitlines()[-1], "^soak: .*: status ")
            self.assertFalse((self.root / "bench/soak.json").exists())


if __name__ == "__main__":
    unittest.main()
