# SPDX-License-Identifier: GPL-2.0-or-later
"""Several scenarios at a time, without a scenario."""
import contextlib
import io
import os
import sys
import threading
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def load_runner():
    """testbed/run is a program without suffix."""
    loader = SourceFileLoader("testbed_run", os.path.join(HERE, "run"))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


runner = load_runner()
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
                together.wait(10)   # all three talk at once
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
                self.assertTrue(first_waits.wait(10))
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


if __name__ == "__main__":
    unittest.main()
