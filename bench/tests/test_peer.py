# SPDX-License-Identifier: GPL-2.0-or-later
"""The script that starts Debian's QEMU, with a loader that says what it was given."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tools")]
import peer  # noqa: E402

TOOL = '#!/bin/sh\necho "$VALGRIND_LIB"\necho "$*"\n'
LOADER = '#!/bin/sh\necho "$QEMU_MODULE_DIR $*"\n'


class PeerTest(unittest.TestCase):
    def test_script_finds_its_files_where_it_is(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "a place"
            lib = root / "usr/lib/x86_64-linux-gnu"
            lib.mkdir(parents=True)
            for path, text in ((lib / "ld-linux-x86-64.so.2", LOADER),
                               (root / "run-qemu", peer.SCRIPT.format(binary="qemu"))):
                path.write_text(text, encoding="utf-8")
                path.chmod(0o755)
            said = subprocess.run([root / "run-qemu", "-M", "q35"], check=True, text=True,
                                  capture_output=True).stdout
        self.assertEqual(said, f"{lib}/qemu --library-path {lib}:{lib}/systemd:{lib}/nss "
                               f"{root}/usr/bin/qemu -L {root}/usr/share/qemu -M q35\n")

    def test_script_runs_it_under_the_callgrind_that_is_beside_it(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "root"
            lib, tools = root / "usr/lib/x86_64-linux-gnu", root / "usr/libexec/valgrind"
            for directory in (lib, tools):
                directory.mkdir(parents=True)
            for path, text in ((tools / "callgrind-amd64-linux", TOOL),
                               (tools / "callgrind-x86-linux", "#!/bin/sh\nexit 1\n"),
                               (lib / "ld-linux-x86-64.so.2", LOADER),
                               (root / "run-qemu", peer.SCRIPT.format(binary="qemu"))):
                path.write_text(text, encoding="utf-8")
                path.chmod(0o755)
            with mock.patch.dict(os.environ, PEER="debian"):
                command = [*peer.wrapper("/out", ("work",)), root / "run-qemu", "-M", "q35"]
            said = subprocess.run(command, check=True, text=True, capture_output=True).stdout
        self.assertEqual(said.splitlines()[0], str(tools))
        words = said.splitlines()[1].split()
        self.assertEqual(words[0], "--tool=callgrind")
        self.assertIn("--callgrind-out-file=/out", words)
        self.assertIn("--toggle-collect=work", words)
        self.assertLess(words.index("--toggle-collect=work"),
                        words.index(f"{lib}/ld-linux-x86-64.so.2"))
        self.assertEqual(words[-4:], ["-L", f"{root}/usr/share/qemu", "-M", "q35"])

    def test_another_peer_runs_under_the_machine_s_own_valgrind(self):
        with mock.patch.dict(os.environ, PEER="/usr/bin/q"), \
                mock.patch.object(peer.callgrind.shutil, "which", lambda _: "/usr/bin/valgrind"):
            self.assertEqual(peer.wrapper("/out", ("work",))[0], "/usr/bin/valgrind")

    def test_which_program(self):
        with mock.patch.object(peer, "unpacked", lambda: Path("/root")):
            for value, wanted in (("debian", "/root/run-qemu"), ("/usr/bin/q", "/usr/bin/q")):
                with mock.patch.dict(os.environ, PEER=value):
                    self.assertEqual(peer.program("qemu"), wanted)


if __name__ == "__main__":
    unittest.main()
