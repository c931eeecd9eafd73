# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU that is measured beside ours: PEER= is a program, or "debian"."""
import os

import callgrind
import debian

SUITE = "trixie+trixie-backports"
# The machine's own valgrind may be too old for it
PACKAGES = ("qemu-system-x86", "qemu-system-arm", "valgrind")
# It finds its files by its own place; with CALLGRIND= it runs under callgrind, with those
# options.  The launcher of valgrind would need the machine's libraries to be as new.
SCRIPT = """#!/bin/sh
root=$(dirname "$0")
lib=$(echo "$root"/usr/lib/*-linux-gnu)
export QEMU_MODULE_DIR="$lib/qemu"
set -- "$lib"/ld-linux*.so.* --library-path "$lib:$lib/systemd:$lib/nss" \\
    "$root/usr/bin/{binary}" -L "$root/usr/share/qemu" "$@"
[ -n "$CALLGRIND" ] || exec "$@"
export VALGRIND_LIB="$root/usr/libexec/valgrind" VALGRIND_LAUNCHER="$root/usr/bin/valgrind"
# shellcheck disable=SC2086
exec "$VALGRIND_LIB"/callgrind-a*-linux --tool=callgrind $CALLGRIND "$@"
"""
BINARIES = ("qemu-system-x86_64", "qemu-system-aarch64")


def program(binary):
    """The path of the peer's BINARY; None if there is no peer."""
    peer = os.environ.get("PEER")
    return str(unpacked() / f"run-{binary}") if peer == "debian" else peer


def wrapper(out, work):
    """What makes program() run under callgrind; the functions are counted inside."""
    if os.environ.get("PEER") != "debian":
        return callgrind.wrapper(out, work)
    return ["env", f"CALLGRIND={' '.join(callgrind.options(out, work))}"]


def work(model):
    """The functions of the peer that do a model's work, as far as its names are known."""
    binary = unpacked() / "usr/bin" / model.binary if os.environ.get("PEER") == "debian" \
        else os.environ["PEER"]
    return callgrind.work_of(binary, model.work)


def unpacked():
    """The newest QEMU that Debian has, with the libraries that it was built against."""
    return debian.unpack_root("peer", SUITE, PACKAGES, files=tuple(
        (f"run-{binary}", SCRIPT.format(binary=binary)) for binary in BINARIES))
