# SPDX-License-Identifier: GPL-2.0-or-later
"""What is cross-built on x86_64 and on arm64, without any compiler."""

import os
import subprocess
import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from unittest import mock

from sandbox import TOOLS

sys.path.insert(0, str(TOOLS))
import cross  # noqa: E402
import debian  # noqa: E402

# Machine as uname names it, the testbed's name of the other one, Debian's
MACHINES = (("x86_64", "arm64", "arm64"), ("aarch64", "x86_64", "amd64"))


def on(machine):
    return mock.patch.object(cross.platform, "machine", lambda: machine)


class Foreign(unittest.TestCase):
    def test_the_other_architecture_is_cross_built(self):
        for machine, name, package in MACHINES:
            with self.subTest(machine), on(machine):
                self.assertEqual((cross.foreign().name, cross.foreign().debian), (name, package))

    def test_configure_is_told_of_the_other_compiler_and_its_sysroot(self):
        for machine, triplet, target, devices in (
                ("x86_64", "aarch64-linux-gnu", "aarch64", True),
                ("aarch64", "x86_64-linux-gnu", "x86_64", False)):
            with self.subTest(machine), on(machine):
                options = cross.configure_options(cross.foreign(), "/sysroot")
                for option in (f"--cross-prefix={triplet}-", f"--target-list={target}-softmmu"):
                    self.assertIn(option, options)
                flags = next(option for option in options if "cflags" in option)
                self.assertIn("--sysroot=/sysroot ", flags)
                self.assertIn(f"/usr/include/{triplet} ", flags)
                self.assertEqual(any("--with-devices" in option for option in options), devices)

    def test_the_sysroot_is_of_the_other_architecture(self):
        for machine, name, package in MACHINES:
            asked = []

            def fetch(_suite, names, arch, asked=asked):
                asked.append(arch)
                return [Path(f"{name}.deb") for name in names]

            def unpack(_deb, target):
                (target / "usr/lib64").mkdir(parents=True)

            with self.subTest(machine), on(machine), \
                    tempfile.TemporaryDirectory() as cache, \
                    mock.patch.object(cross, "cache_dir", lambda cache=cache: Path(cache)), \
                    mock.patch.object(cross, "need_space"), \
                    mock.patch.object(debian, "fetch_packages", fetch), \
                    mock.patch.object(debian, "unpack_package", unpack):
                root = cross.sysroot()
                self.assertEqual((root.name, asked), (f"sysroot-{name}", [package]))
                # The loader of x86_64
                self.assertTrue((root / "lib64").is_dir())
                self.assertEqual(os.readlink(root / "lib64"), "usr/lib64")

    def test_the_compiler_is_installed(self):
        for machine, package in (("x86_64", "gcc-aarch64-linux-gnu"),
                                 ("aarch64", "gcc-x86-64-linux-gnu")):
            with self.subTest(machine), on(machine):
                loader = SourceFileLoader("deps", str(TOOLS / "deps"))
                deps = module_from_spec(spec_from_loader("deps", loader))
                with mock.patch.object(sys, "dont_write_bytecode", True):
                    loader.exec_module(deps)
                self.assertEqual([name for name in deps.PACKAGES if name.startswith("gcc-")],
                                 [package])


class UnpackedRoot(unittest.TestCase):
    def root(self, cache, arch):
        def apt(_suite, *_args, arch):
            self.asked.append(arch)
            return f"'http://deb/a_1_{arch}.deb' a_1_{arch}.deb 1 SHA256:0"
        self.asked = []
        with mock.patch.object(debian, "cache_dir", lambda: Path(cache)), \
                mock.patch.object(debian, "update"), \
                mock.patch.object(debian, "architecture", lambda: "arm64"), \
                mock.patch.object(debian, "apt", apt), \
                mock.patch.object(debian, "fetch_packages",
                                  lambda _suite, names, arch: self.asked.append(arch) or []):
            return debian.unpack_root("tool", "sid", ("a",), arch=arch)

    def test_packages_of_another_architecture_have_a_root_of_their_own(self):
        with tempfile.TemporaryDirectory() as cache:
            own = self.root(cache, None)
            self.assertEqual(self.asked, [None, None])
            self.assertEqual(self.root(cache, "arm64"), own)
            self.assertEqual(self.asked, [])    # it is there
            self.assertNotEqual(self.root(cache, "amd64"), own)
            self.assertEqual(self.asked, ["amd64", "amd64"])


MAKEFILE = """\
kernelversion:
\t@echo 7.3.0
allnoconfig:
\t@cp $(KCONFIG_ALLCONFIG) $(O)/.config
bzImage Image:
\t@mkdir -p $(O)/arch/$(ARCH)/boot && touch $(O)/System.map
\t@echo "$(ARCH) $(CROSS_COMPILE) $(notdir $(lastword $(CC)))" > $(O)/arch/$(ARCH)/boot/$@
"""


class Machine(unittest.TestCase):
    """Programs on machines whose uname is ours."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="viommu-tools-")
        self.addCleanup(holder.cleanup)
        self.top = Path(holder.name)
        self.env = dict(os.environ, PATH=f"{self.top}/bin:{os.environ['PATH']}",
                        VIOMMU_CACHE=str(self.top / "cache"), LINUX_SRC=str(self.top / "linux"))

    def program(self, name, text):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def run_on(self, machine, *args):
        self.program("bin/uname", f"echo {machine}")
        done = subprocess.run(args, env=self.env, text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_kernels_are_built_by_the_compiler_of_their_architecture(self):
        (self.top / "linux").mkdir()
        (self.top / "linux/Makefile").write_text(MAKEFILE, encoding="utf-8")
        for name in ("gcc", "bc", "flex", "bison", "aarch64-linux-gnu-gcc",
                     "x86_64-linux-gnu-gcc"):
            self.program(f"bin/{name}", "exit 1")
        for machine, arch, wanted in (
                ("x86_64", "x86_64", "x86  gcc"),
                ("x86_64", "arm64", "arm64 aarch64-linux-gnu- aarch64-linux-gnu-gcc"),
                ("aarch64", "x86_64", "x86 x86_64-linux-gnu- x86_64-linux-gnu-gcc"),
                ("aarch64", "arm64", "arm64  gcc")):
            with self.subTest(machine=machine, arch=arch):
                self.env["VIOMMU_CACHE"] = str(self.top / f"cache-{machine}-{arch}")
                image = self.run_on(machine, TOOLS.parent / "testbed/build-kernel", arch)
                self.assertEqual(Path(image).read_text(encoding="utf-8").strip(), wanted)

    def test_a_demo_of_the_machine_s_own_architecture_cross_builds_nothing(self):
        steps = ("tools/deps", "tools/fetch-base", "tools/tree", "tools/build",
                 "tools/build-cross", "testbed/build-kernel", "testbed/run")
        for name in steps:
            self.program(f"project/{name}", 'echo "${0##*/} $*" >> ../steps')
        demo = self.top / "project/tools/demo"
        demo.write_bytes((TOOLS / "demo").read_bytes())
        for machine, arch, crossed in (("x86_64", "x86_64", False), ("x86_64", "arm64", True),
                                       ("aarch64", "x86_64", True), ("aarch64", "arm64", False)):
            with self.subTest(machine=machine, arch=arch):
                (self.top / "steps").unlink(missing_ok=True)
                self.run_on(machine, "sh", demo, arch)
                done = (self.top / "steps").read_text(encoding="utf-8").splitlines()
                self.assertEqual("build-cross " in done, crossed, done)
                self.assertIn(f"build-kernel {arch}", done)


if __name__ == "__main__":
    unittest.main()
