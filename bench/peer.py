# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU that is measured beside ours: PEER= is a program, or "debian"."""
import os

import debian

SUITE = "trixie+trixie-backports"
PACKAGES = ("qemu-system-x86", "qemu-system-arm")
# It finds its files by its own place
SCRIPT = """#!/bin/sh
root=$(dirname "$0")
lib=$(echo "$root"/usr/lib/*-linux-gnu)
export QEMU_MODULE_DIR="$lib/qemu"
exec "$lib"/ld-linux*.so.* --library-path "$lib:$lib/systemd:$lib/nss" \\
    "$root/usr/bin/{binary}" -L "$root/usr/share/qemu" "$@"
"""
BINARIES = ("qemu-system-x86_64", "qemu-system-aarch64")


def program(binary):
    """The path of the peer's BINARY; None if there is no peer."""
    peer = os.environ.get("PEER")
    return str(unpacked() / f"run-{binary}") if peer == "debian" else peer


def unpacked():
    """The newest QEMU that Debian has, with the libraries that it was built against."""
    return debian.unpack_root("peer", SUITE, PACKAGES, files=tuple(
        (f"run-{binary}", SCRIPT.format(binary=binary)) for binary in BINARIES))
