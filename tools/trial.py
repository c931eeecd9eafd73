# SPDX-License-Identifier: GPL-2.0-or-later
"""Trials of the Debian packages in a bare system, whole and spoilt.

piuparts installs, removes and purges them and looks for what is left; in between it
runs packaging/debian/tests/starts.
"""

import re
import subprocess

import debs
from common import cache_dir, note, remove, run

NAMES = ARM, X86, HOST_CHECK = ("qemu-system-arm-viommu", "qemu-system-x86-viommu",
                                "viommu-host-check")


def results(suite, packages):
    """(name, what is wrong or None) of each trial of a release's packages."""
    missing = set(NAMES) - {deb.name.partition("_")[0] for deb in packages}
    yield "all packages are built", f"no {', '.join(sorted(missing))}" if missing else None
    if missing:
        return
    where = packages[0].parent.with_name(f"{suite}-trial")
    remove(where)
    (where / "scripts").mkdir(parents=True)
    run(["cp", debs.PACKAGING / "tests/starts", where / "scripts/post_install_starts"])
    run(["cp", *packages, where])
    trial = Trial(suite, where)
    yield "lintian is silent", trial.lintian()
    yield "they install, start and are removed without a trace", trial.piuparts()
    for name in (ARM, X86):
        yield f"{name} does so by itself", trial.piuparts(name, HOST_CHECK)
    for name, (spoil, wanted) in SPOILT.items():
        said = trial.spoilt(spoil)
        yield (f"{name} is noticed",
               None if re.search(wanted, said or "") else said or "it works")
    remove(where)


class Trial:
    def __init__(self, suite, where):
        self.suite, self.where = suite, where
        self.root = debs.build_root(suite)
        self.bare = debs.bare_system(suite)

    def run(self, names, *command):
        """Run a command on packages; returns (whether it succeeded, its output)."""
        note(f"{command[0]} ({self.suite})")
        paths = [f"/trial/{deb.name}" for deb in sorted(self.where.glob("*.deb"))
                 if deb.name.partition("_")[0] in names]
        done = subprocess.run(
            debs.inside(self.root, [*command, *paths],
                        [(self.where, "/trial"), (cache_dir() / "deb", "/cache")],
                        network=True),
            check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace")
        with open(self.where.with_suffix(".log"), "a", encoding="utf-8") as log:
            log.write(done.stdout)
        return done.returncode == 0, done.stdout

    def lintian(self):
        good, text = self.run(NAMES, "lintian", "--allow-root", "--fail-on", "error,warning")
        return None if good and not text else text.strip().replace("\n", "; ") or "no reason"

    def piuparts(self, *names):
        """What piuparts says is wrong with these packages, or all; or None."""
        good, text = self.run(
            names or NAMES, "piuparts", "--basetgz", f"/cache/{self.bare.name}",
            "--distribution", self.suite, "--keep-sources-list",
            "--scriptsdir", "/trial/scripts", "--tmpdir", "/trial")
        return None if good else what_is_wrong(text)

    def spoilt(self, spoil):
        """What piuparts says of a package of which something is spoilt."""
        good = next(self.where.glob(f"{X86}_*.deb"))
        kept = good.with_suffix(".good")
        good.rename(kept)
        spoil(kept, good)
        said = self.piuparts(X86, HOST_CHECK)
        kept.rename(good)
        return said


def what_is_wrong(text):
    """The first error that piuparts tells of, and the last line of what it quotes."""
    error = re.search(r"ERROR: (.*)((?:\n[ \t].*)*)", text)
    said = [error[1], *error[2].split("\n")] if error else text.split("\n")
    said = [line.strip() for line in said if line.strip()]
    return " ".join(said[-1:] if not error else [said[0], *said[1:][-1:]]) or "no reason"


# --- what the trial has to notice --------------------------------------------

def rebuilt(deb, target, edit):
    """Write a package of which an unpacked copy was edited."""
    unpacked = target.with_suffix(".tmp")
    run(["dpkg-deb", "--raw-extract", deb, unpacked])
    edit(unpacked)
    run(["dpkg-deb", "-Znone", "--build", unpacked, target], stdout=subprocess.DEVNULL)
    remove(unpacked)


def without_firmware(deb, target):
    def edit(unpacked):
        control = unpacked / "DEBIAN/control"
        control.write_text(re.sub(r"(?<=, )seabios(, |$)", "",
                                  control.read_text(encoding="utf-8"), flags=re.M),
                           encoding="utf-8")
    rebuilt(deb, target, edit)


def with_a_wrong_path(deb, target):
    def edit(unpacked):
        file = unpacked / "usr/bin/qemu-system-x86_64-viommu"
        file.write_bytes(file.read_bytes().replace(b"/share/seabios", b"/share/seabioS"))
    rebuilt(deb, target, edit)


def leaving_a_file(deb, target):
    def edit(unpacked):
        script = unpacked / "DEBIAN/postinst"
        script.write_text("#!/bin/sh\n: > /etc/left\n", encoding="utf-8")
        script.chmod(0o755)
    rebuilt(deb, target, edit)


def cut_off(deb, target):
    target.write_bytes(deb.read_bytes()[:100000])


# What is spoilt: how, and what has to be said about it
SPOILT = {"a package without its dependency on firmware": (without_firmware, "bios-256k"),
          "a package with a wrong firmware path": (with_a_wrong_path, "bios-256k"),
          "a package that leaves a file": (leaving_a_file, "left files"),
          "a package that is cut off": (cut_off, "could not be parsed")}
