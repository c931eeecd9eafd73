# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's kernel package, with a Linux that is a Makefile of a few lines."""

import io
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from sandbox import TOOLS

sys.path.insert(0, str(TOOLS))
import hostkernel   # noqa: E402
from common import Failure  # noqa: E402

DEBIAN = "CONFIG_A=y\n# CONFIG_IOMMUFD is not set\nCONFIG_DEBUG_INFO=y\n"
# What a kernel's make is asked for. The last of two values of a symbol counts; LOSE is a
# symbol that the configuration does not keep. A step is a file.
MAKEFILE = """\
VERSION = 7
PATCHLEVEL = 3
kernelversion:
	@echo 7.3.4
olddefconfig:
	@tac $(O)/.config | awk -F= '/^CONFIG/ && !seen[$$1]++ && $$1 != "$(LOSE)"' > $(O)/new
	@mv $(O)/new $(O)/.config
all:
	@for step in 1 2 3; do [ -e $(O)/$$step.cmd ] && continue; \\
	    [ "$$step" != "$(BREAK)" ] || { echo "$(SAYS)"; exit 1; }; \\
	    echo "  CC      $$step.o"; touch $(O)/$$step.cmd; echo $$step >> $(O)/../../compiled; done
bindeb-pkg:
	@echo "$(DPKG_FLAGS) $(LOCALVERSION) $$DEB_BUILD_PROFILES $$KDEB_PKGVERSION" > $(O)/../../asked
	@[ -n "$(NO_IMAGE)" ] || echo image > $(O)/../linux-image-7.3.4-viommu-x_1_amd64.deb
	@echo headers > $(O)/../linux-headers-7.3.4-viommu-x_1_amd64.deb
"""


def config_package(path, flavours):
    """A linux-config package: an ar archive is not needed, dpkg-deb is made up."""
    with tarfile.open(path, "w") as archive:
        for flavour, text in flavours.items():
            data = lzma.compress(text.encode())
            info = tarfile.TarInfo(f"./usr/src/linux-config-7.3/config.amd64_none_{flavour}.xz")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


class Wanted(unittest.TestCase):
    def wanted(self, **env):
        with mock.patch.dict("os.environ", {"ARCH": "", "FLAVOUR": "", "DEBUG_INFO": "0"} | env):
            return hostkernel.wanted()

    def test_what_is_asked_for(self):
        with mock.patch("hostkernel.debian.architecture", lambda: "arm64"):
            self.assertEqual(self.wanted(), ("arm64", "arm64", False))
        self.assertEqual(self.wanted(ARCH="amd64", FLAVOUR="cloud-amd64", DEBUG_INFO="1"),
                         ("amd64", "cloud-amd64", True))

    def test_nonsense(self):
        for env, says in ({"ARCH": "x86_64"}, "ARCH=x86_64: there are amd64 and arm64"), \
                ({"FLAVOUR": "../x"}, "FLAVOUR=../x: "), ({"DEBUG_INFO": "yes"}, "0 or 1"):
            with self.assertRaisesRegex(Failure, says):
                self.wanted(**env)


class Config(unittest.TestCase):
    want = hostkernel.Wanted("amd64", "cloud-amd64", False)
    src = hostkernel.Source(Path("/nowhere"), "7.3.4", "7.3.4-1~bpo13+1")

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        deb = config_package(self.top / "config.deb", {"amd64": "no\n", "cloud-amd64": DEBIAN})
        for name, value in {"cache_dir": lambda: self.top, "run": mock.Mock(
                return_value=mock.Mock(stdout=deb.read_bytes()))}.items():
            patch = mock.patch(f"hostkernel.{name}", value)
            patch.start()
            self.addCleanup(patch.stop)

    def test_what_was_fetched_once_needs_no_network(self):
        (self.top / "dl").mkdir()
        (self.top / "dl/linux-config-7.3_7.3.4-1~bpo13+1_amd64.deb").touch()
        with mock.patch("hostkernel.debian.fetch_package", side_effect=Failure("no network")):
            self.assertEqual(hostkernel.debian_config(self.src, self.want), DEBIAN)

    def test_no_network_and_nothing_cached(self):
        with mock.patch("hostkernel.debian.fetch_package", side_effect=Failure("no network")):
            with self.assertRaisesRegex(Failure, "^no linux-config-7.3 for amd64, .*: no network"):
                hostkernel.debian_config(self.src, self.want)

    def test_flavour_that_debian_does_not_have(self):
        with self.assertRaisesRegex(Failure, "FLAVOUR=rt: .* has amd64, cloud-amd64$"):
            hostkernel.flavour_of(self.top / "config.deb", self.want._replace(flavour="rt"))

    def test_a_configuration_of_ones_own(self):
        with mock.patch.dict("os.environ", CONFIG=str(self.top / "none")):
            with self.assertRaisesRegex(Failure, "CONFIG=.*/none: no such file"):
                hostkernel.debian_config(self.src, self.want)
        (self.top / "mine").write_text("CONFIG_B=y\n", encoding="utf-8")
        with mock.patch.dict("os.environ", CONFIG=str(self.top / "mine")):
            self.assertEqual(hostkernel.debian_config(self.src, self.want), "CONFIG_B=y\n")

    def test_fragments(self):
        text = hostkernel.fragment(self.want)
        for line in ("CONFIG_IOMMUFD=m", "CONFIG_VFIO_DEVICE_CDEV=y", "CONFIG_DEBUG_INFO_NONE=y",
                     "CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON=y"):
            self.assertIn(line, text.splitlines())
        text = hostkernel.fragment(self.want._replace(arch="arm64", debug=True))
        self.assertIn("CONFIG_ARM_SMMU_V3_IOMMUFD=y", text)
        self.assertNotIn("DEBUG_INFO_NONE", text)


class Builds(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        self.tree = self.top / "linux/linux-source-7.3-7.3.4-1~bpo13+1"
        self.tree.mkdir(parents=True)
        (self.tree / "Makefile").write_text(MAKEFILE, encoding="utf-8")
        self.env = {"MAKEFLAGS": "", "BREAK": "", "SAYS": "", "LOSE": "", "NO_IMAGE": ""}
        for name, value in {"hostkernel.cache_dir": lambda: self.top,
                            "hostkernel.shutil.which": lambda name: f"/usr/bin/{name}",
                            "hostkernel.debian.architecture": lambda: "amd64",
                            "hostkernel.need_space": mock.Mock(),
                            "hostkernel.note": mock.Mock()}.items():
            patch = mock.patch(name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def build(self, arch="amd64", **env):
        """Build; returns it and the names of the packages."""
        src = hostkernel.Source(self.tree, "7.3.4", "7.3.4-1~bpo13+1")
        made = hostkernel.Build(hostkernel.Wanted(arch, "cloud", False), src, DEBIAN)
        with mock.patch.dict("os.environ", self.env | env), \
                mock.patch("hostkernel.Progress"):
            return made, [deb.name.partition("-7")[0] for deb in made.run()]

    def text(self, name):
        return (self.top / "host-kernel" / name).read_text(encoding="utf-8")

    def compiled(self):
        return self.text("compiled").split()

    def test_built_once(self):
        for _ in range(2):
            made, names = self.build()
            self.assertEqual(names, ["linux-image", "linux-headers"])
        self.assertEqual(self.compiled(), ["1", "2", "3"])
        self.assertFalse(made.obj.exists())
        self.assertEqual(self.text("steps-amd64-cloud"), "3\n")
        asked = self.text("asked").split()
        self.assertEqual(asked[:3], ["-d", "-Tbinary-image,binary-headers", "-viommu-cloud"])
        subprocess.run(["dpkg", "--compare-versions", "7.3.4-1~bpo13+1", "lt", asked[3]],
                       check=True)

    def test_interrupted_build_goes_on(self):
        with self.assertRaisesRegex(Failure, "all output is in .*build.log .the next run goes on"):
            self.build(BREAK="3", SAYS="cc1: error")
        self.build()
        self.assertEqual(self.compiled(), ["1", "2", "3"])

    def test_full_disk(self):
        with self.assertRaisesRegex(Failure, r"the disk is full, \d+ MiB are left in .*goes on"):
            self.build(BREAK="2", SAYS="ar: No space left on device")

    def test_no_space(self):
        (self.top / "host-kernel").mkdir()
        with mock.patch("hostkernel.need_space", side_effect=Failure("needs 9000 MiB")):
            with self.assertRaisesRegex(Failure, "needs 9000 MiB"):
                self.build()
        self.assertFalse((self.top / "host-kernel/compiled").exists())

    def test_spoilt_package_is_built_again(self):
        made, _ = self.build()
        deb = next(made.where.glob("linux-image-*.deb"))
        deb.write_text("spoilt", encoding="utf-8")
        self.build()
        self.assertEqual(deb.read_text(encoding="utf-8"), "image\n")
        self.assertEqual(len(self.compiled()), 6)

    def test_interrupted_when_all_was_done(self):
        made, _ = self.build()
        made.obj.mkdir()
        (made.where / "configured").touch()
        self.build()
        self.assertFalse(made.obj.exists())
        self.assertEqual(self.compiled(), ["1", "2", "3"])
        # Nor do such remains stand in the way of building it again
        next(made.where.glob("linux-image-*.deb")).unlink()
        self.build()
        self.assertEqual(len(self.compiled()), 6)

    def test_source_of_ones_own_that_changes(self):
        with mock.patch("hostkernel.cache_dir", lambda: self.top / "cache"):
            one, _ = self.build()
            same, _ = self.build()
            os.utime(self.tree / "Makefile", (1, 1))
            other, _ = self.build()
        self.assertEqual(one.where, same.where)
        self.assertNotEqual(one.where, other.where)

    def test_configuration_that_loses_a_line(self):
        with self.assertRaisesRegex(Failure, "lost CONFIG_IOMMUFD=m: "):
            self.build(LOSE="CONFIG_IOMMUFD")

    def test_no_image_came_out(self):
        with self.assertRaisesRegex(Failure, "no linux-image package"):
            self.build(NO_IMAGE="1")

    def test_without_programs(self):
        with mock.patch("hostkernel.shutil.which", lambda name: None):
            with self.assertRaisesRegex(Failure, "^not installed: debhelper openssl zstd; as root: "
                                                 "apt-get .* debhelper openssl zstd$"):
                self.build()

    def test_other_machines_get_no_headers(self):
        self.build("arm64")
        self.assertEqual(self.text("asked").split()[1:4:2],
                         ["-Tbinary-image", "pkg.linux-viommu.nokernelheaders"])

    def test_another_configuration_is_another_build(self):
        one, _ = self.build()
        src = hostkernel.Source(self.tree, "7.3.4", "7.3.4-1")
        other = hostkernel.Build(hostkernel.Wanted("amd64", "cloud", True), src, DEBIAN)
        self.assertNotEqual(one.where, other.where)

    def test_variables_of_our_make_are_not_the_kernels(self):
        with mock.patch.dict("os.environ", MAKEFLAGS="-- ARCH=amd64", ARCH="amd64"):
            env = hostkernel.clean_environment()
        self.assertEqual({"MAKEFLAGS", "ARCH"} & set(env), set())
        self.assertIn("PATH", env)


if __name__ == "__main__":
    unittest.main()
