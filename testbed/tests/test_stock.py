# SPDX-License-Identifier: GPL-2.0-or-later
"""What is taken of a Debian kernel, without a Debian kernel."""
import gzip
import lzma
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
from common import Failure  # noqa: E402
from lib import stock  # noqa: E402


def module(*depends):
    return b"\x7fELF\0license=GPL\0depends=%s\0" % ",".join(depends).encode()


class PickTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        self.put("boot/vmlinuz-6.1", b"image")
        self.put("lib/modules/6.1/modules.builtin", b"kernel/lib/built-in.ko\n")
        self.put("lib/modules/6.1/kernel/lib/crc-64.ko", module())
        self.put("lib/modules/6.1/kernel/disk.ko.xz",
                 lzma.compress(module("disk-core", "built_in")))
        self.put("lib/modules/6.1/kernel/disk-core.ko", module("crc_64"))

    def put(self, name, data):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def pick(self, *wanted):
        stock._pick(self.top, wanted)
        return sorted(path.name for path in self.top.iterdir())

    def test_what_a_module_needs_is_loaded_before_it(self):
        self.assertEqual(self.pick("disk", "crc_64", "built_in"),
                         ["00-crc_64.ko", "01-disk_core.ko", "02-disk.ko", "image"])
        self.assertEqual((self.top / "02-disk.ko").read_bytes(),
                         module("disk-core", "built_in"))
        self.assertEqual((self.top / "image").read_bytes(), b"image")

    def test_a_module_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(Failure, "no module tape"):
            self.pick("tape")

    def test_no_kernel(self):
        (self.top / "boot/vmlinuz-6.1").unlink()
        with self.assertRaisesRegex(Failure, "0 kernels and 1 lists"):
            self.pick("disk")


class HostTest(unittest.TestCase):
    def test_a_package_that_lacks_a_module_is_refused_without_a_trace(self):
        def extract(_deb, target, parts):
            self.assertEqual(parts, (".*",))
            for name in ("boot/vmlinuz-7", "boot/config-7", "lib/modules/7/modules.builtin"):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes(b"kernel/virtio_pci.ko\n")
        with tempfile.TemporaryDirectory() as cache, \
                mock.patch.object(stock, "cache_dir", return_value=Path(cache)), \
                mock.patch.object(stock, "need_space"), \
                mock.patch.object(stock.debian, "sha256_of", return_value="1"), \
                mock.patch.object(stock, "_extract", extract):
            with self.assertRaisesRegex(Failure, "linux.deb will not do as host: .*no module "
                                        "virtio_console"):
                stock.l1_kernel("linux.deb", "x86_64")
            self.assertEqual(os.listdir(Path(cache) / "stock"), ["l1.lock"])
            with mock.patch.dict(stock.L1_MODULES, x86_64=("virtio_pci",)):
                image, modules, configs = stock.l1_kernel("linux.deb", "x86_64")
            self.assertEqual((modules, list(map(os.path.basename, configs))), ([], ["config-7"]))
            self.assertTrue(os.path.exists(image))


class ProgramsTest(unittest.TestCase):
    def test_words_that_run_programs_of_debian(self):
        self.assertEqual(stock.programs(["read", "sync:testpmd"]), {})
        self.assertEqual(stock.programs(["read", "testpmd"]),
                         {"testpmd": stock.PROGRAMS["testpmd"]})

    def test_they_are_of_the_guest_s_architecture(self):
        def unpack_root(*_, arch):
            return Path(arch)
        with mock.patch.object(stock.debian, "unpack_root", unpack_root):
            self.assertEqual(stock.unpacked(stock.PROGRAMS["testpmd"], "x86_64"), "amd64")

    def test_a_kernel_carries_what_they_need(self):
        seen = {}
        with tempfile.TemporaryDirectory() as cache, \
                mock.patch.object(stock, "cache_dir", return_value=Path(cache)), \
                mock.patch.object(stock, "need_space"), \
                mock.patch.object(stock, "_packages", return_value=["linux-image-1"]), \
                mock.patch.object(stock.debian, "fetch_packages",
                                  return_value=[Path("linux-image-1.deb")]), \
                mock.patch.object(stock, "_extract",
                                  lambda deb, target, parts: seen.update(parts=parts)), \
                mock.patch.object(stock, "_pick",
                                  lambda directory, modules: seen.update(modules=modules)):
            plain, _ = stock.kernel("trixie", "x86_64")
            self.assertEqual(seen["modules"], stock.MODULES)
            more, _ = stock.kernel("trixie", "x86_64", [stock.PROGRAMS["testpmd"]])
        self.assertEqual(seen["modules"][len(stock.MODULES):], ("vfio_pci", "vfio_iommu_type1"))
        self.assertIn("drivers/vfio", seen["parts"])
        self.assertNotEqual(plain, more)


class XenTest(unittest.TestCase):
    def xen(self, names, images=("xen-4.99-amd64.gz",)):
        def unpack(_deb, root):
            (root / "boot").mkdir(parents=True)
            for name in images:
                (root / "boot" / name).write_bytes(gzip.compress(b"Xen"))
        with tempfile.TemporaryDirectory() as cache, \
                mock.patch.object(stock, "cache_dir", return_value=Path(cache)), \
                mock.patch.object(stock.debian, "package_names",
                                  lambda _suite, _prefix, arch: names * (arch == "amd64")), \
                mock.patch.object(stock.debian, "fetch_package",
                                  return_value=Path("xen-hypervisor-4.99-amd64_1.deb")), \
                mock.patch.object(stock.debian, "unpack_package", unpack):
            (Path(cache) / "stock").mkdir()
            return Path(stock.xen("sid")).read_bytes()

    def test_the_hypervisor_is_uncompressed(self):
        self.assertEqual(self.xen(["xen-hypervisor-common", "xen-hypervisor-4.99-amd64",
                                   "xen-hypervisor-4.99-amd64-dbg"]), b"Xen")

    def test_no_xen_and_several(self):
        with self.assertRaisesRegex(Failure, "sid has none, not one Xen"):
            self.xen(["xen-hypervisor-common"])
        with self.assertRaisesRegex(Failure, "0 images"):
            self.xen(["xen-hypervisor-4.99-amd64"], images=())


class PackagesTest(unittest.TestCase):
    def packages(self, depends):
        def apt(_suite, _show, name, **_):
            return "Package: %s\nDepends: %s\n" % (name, depends.get(name, "kmod"))
        with mock.patch.object(stock.debian, "apt", apt), \
                mock.patch.object(stock.debian, "update"):
            return stock._packages("sid", "amd64")

    def test_packages_with_files_of_the_kernel(self):
        self.assertEqual(self.packages({
            "linux-image-amd64": "linux-base (>= 4), linux-image-7.1-amd64 (= 7.1-1)",
            "linux-image-7.1-amd64": "dracut | initramfs-tools, linux-binary-7.1-amd64 (= 7.1-1)"}),
            ["linux-image-7.1-amd64", "linux-binary-7.1-amd64"])

    def test_a_release_without_kernel(self):
        with self.assertRaisesRegex(Failure, "sid has no linux-image-amd64"):
            self.packages({})


if __name__ == "__main__":
    unittest.main()
