# SPDX-License-Identifier: GPL-2.0-or-later
"""Several scenarios at a time, without a scenario; what runs of an architecture need."""
import argparse
import contextlib
import io
import os
import sys
import tempfile
import threading
import unittest
from unittest import mock
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def load(name):
    """A program without suffix."""
    loader = SourceFileLoader("testbed_" + name, os.path.join(HERE, name))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


runner = load("run")
mkinitramfs = load("mkinitramfs")
NAMES = ["a", "b", "c", "d", "e", "f"]


class JobsTest(unittest.TestCase):
    def run_all(self, jobs, one):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            outcomes = runner.run_all(NAMES, jobs, one)
        return outcomes, printed.getvalue().splitlines()

    def test_what_a_run_says_stays_together(self):
        together = threading.Barrier(3)

        def one(name, out):
            for step in range(20):
                together.wait(120)   # all three talk at once
                out("%s %d" % (name, step))
            return "pass"
        outcomes, lines = self.run_all(3, one)
        self.assertEqual(outcomes, ["pass"] * 6)
        found = [line.split()[0] for line in lines[::20]]
        self.assertEqual(sorted(found), NAMES)
        self.assertEqual(lines, ["%s %d" % (name, step)
                                 for name in found for step in range(20)])

    def test_no_more_than_jobs_at_a_time(self):
        lock, running, most = threading.Lock(), [], []

        def one(name, out):
            with lock:
                running.append(name)
                most.append(len(running))
            threading.Event().wait(0.01)
            with lock:
                running.remove(name)
            out(name)
            return "pass"
        self.run_all(2, one)
        self.assertEqual(max(most), 2)

    def test_outcomes_are_in_the_order_of_names(self):
        first_waits = threading.Event()

        def one(name, out):
            if name == "a":
                self.assertTrue(first_waits.wait(120))
            elif name == "f":
                first_waits.set()
            out(name)
            return "fail" if name == "a" else "pass"
        outcomes, lines = self.run_all(2, one)
        self.assertEqual(outcomes, ["fail"] + ["pass"] * 5)
        self.assertEqual(lines[-1], "a")

    def test_one_alone_is_followed_while_it_runs(self):
        printed = []

        def one(name, out):
            out(name)
            printed.append(sys.stdout.getvalue())
            return "pass"
        self.run_all(1, one)
        self.assertEqual(printed[0], "a\n")

    def test_an_exception_in_a_run_is_not_lost(self):
        def one(name, out):
            raise OSError("the disk is full")
        for jobs in 1, 3:
            with self.assertRaises(OSError):
                self.run_all(jobs, one)

    def test_default(self):
        enough = 100 * runner.RUN_MIB
        self.assertEqual(runner.default_jobs(64, 2, enough), 2)
        self.assertEqual(runner.default_jobs(1, 2, enough), 1)
        self.assertEqual(runner.default_jobs(64, 8, 4 * runner.RUN_MIB), 4)
        self.assertEqual(runner.default_jobs(64, 2, 100), 1)

    def test_memory_is_found(self):
        self.assertGreater(runner.available_mib(), 0)


class ArchitectureTest(unittest.TestCase):
    """On x86_64 and on arm64: L0 is always of the machine's own architecture."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = folder.name
        self.sysroot = os.path.join(self.top, "sysroot")
        for owner, name, value in (
                (runner.cross, "sysroot", lambda: self.sysroot),
                (runner.cross, "firmware", lambda: os.path.join(self.top, "uefi")),
                (runner.common, "cache_dir", lambda: Path(self.top)),
                (runner, "TOP", self.top)):
            patch = mock.patch.object(owner, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def on(self, machine):
        return mock.patch.object(runner.cross.platform, "machine", lambda: machine)

    def tools(self, machine, arch):
        args = argparse.Namespace(l0=None, qut=None, kernel="/kernel", l1_package=None,
                                  firmware=None, fakehost=None, lib_dir=[])
        with self.on(machine), mock.patch.object(runner.os.path, "exists", lambda _: True):
            found = runner.find_tools(args, arch)
        return {name: os.path.relpath(found[name], self.top) if found[name] else ""
                for name in ("l0", "qut", "host_check", "tests", "sysroot")}

    def test_the_machine_s_own_architecture_has_one_qemu(self):
        for machine, arch, binary in (("x86_64", "x86_64", "qemu-system-x86_64"),
                                      ("aarch64", "arm64", "qemu-system-aarch64")):
            with self.subTest(machine):
                found = self.tools(machine, arch)
                self.assertEqual((found["l0"], found["qut"], found["sysroot"]),
                                 ("build/qemu/" + binary, "build/qemu/" + binary, ""))
                self.assertTrue(found["tests"].startswith("build/qemu/"))

    def test_the_other_architecture_has_what_was_cross_built(self):
        for machine, arch, binary in (("x86_64", "arm64", "qemu-system-aarch64"),
                                      ("aarch64", "x86_64", "qemu-system-x86_64")):
            with self.subTest(machine):
                found, built = self.tools(machine, arch), "build/qemu-%s/" % arch
                self.assertEqual((found["l0"], found["qut"], found["sysroot"]),
                                 ("build/qemu/" + binary, built + binary, "sysroot"))
                for name in ("host_check", "tests"):
                    self.assertTrue(found[name].startswith(built), found[name])

    def test_helpers_are_built_and_stripped_for_their_architecture(self):
        for machine, arch, prefix in (("x86_64", "x86_64", ""), ("aarch64", "arm64", ""),
                                      ("x86_64", "arm64", "aarch64-linux-gnu-"),
                                      ("aarch64", "x86_64", "x86_64-linux-gnu-")):
            commands = []

            def run(command, check, commands=commands):
                self.assertTrue(check)
                commands.append(command)
                with open(command[command.index("-o") + 1], "wb"):
                    pass

            with self.subTest(machine=machine, arch=arch), self.on(machine), \
                    tempfile.TemporaryDirectory() as output, \
                    mock.patch.object(mkinitramfs.subprocess, "run", run):
                mkinitramfs.build_helper("mark", arch, output, self.sysroot if prefix else "")
                mkinitramfs.stripped("/qemu", arch, output)
                self.assertEqual([command[0] for command in commands],
                                 [prefix + "gcc", prefix + "strip"])
                self.assertEqual("--sysroot=" + self.sysroot in commands[0], bool(prefix))


if __name__ == "__main__":
    unittest.main()
