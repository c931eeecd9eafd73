# SPDX-License-Identifier: GPL-2.0-or-later
"""The plot of a guest's costs: bars that gnuplot draws, a column of panels per machine."""
import subprocess

import debian
from common import Failure

SUITE = "trixie"
SCRIPT = """#!/bin/sh
root=$(dirname "$0")
lib=$(echo "$root"/usr/lib/*-linux-gnu)
exec "$lib"/ld-linux*.so.* --library-path "$lib:$lib/blas:$lib/lapack" "$root/usr/bin/gnuplot-nox" "$@"
"""
WORK = "1,000 reads, one at a time"
# Bars of a panel, and what they are called
PANELS = (("what the guest is stopped for, in 1,000 reads",
           (("kvm_run", "exits to QEMU"), ("iommufd_calls", "calls to the host"),
            ("entries", "entries in them"))),
          # Not those of the host's kernel: where it is idle they are anything
          ("millions of instructions, in 1,000 reads",
           (("l2_insns", "the guest"), ("qut_insns", "QEMU"))))
MILLION = 1_000_000
SETTINGS = """\
set terminal svg noenhanced size 1100,{height} font "sans-serif,11" background "white"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 border -1
set grid ytics linecolor rgb "#dddddd"
set yrange [0:*]
set key bmargin center horizontal Left reverse samplen 1 width 1
set xtics scale 0
set bmargin 6
set xtics nomirror
set linetype 1 linecolor rgb "#26527d"
set linetype 2 linecolor rgb "#c2571a"
set linetype 3 linecolor rgb "#7fb37f"
set multiplot layout {lines},2
"""


def commands(rows):
    """What gnuplot is told; equal rows give equal text."""
    rows = [row for row in rows if row["work"] == WORK]
    archs = list(dict.fromkeys(row["arch"] for row in rows))
    out = [SETTINGS.format(height=330 * len(archs), lines=len(archs))]
    for arch in archs:
        mine = [row for row in rows if row["arch"] == arch]
        for title, bars in PANELS:
            scale = MILLION if "millions" in title else 1
            out.append(f'set title "{arch}: {title}"')
            out.append("$data << END")
            for row in mine:
                name = "\\n".join([row["setup"], row["mode"]])
                out.append(" ".join([f'"{name}"', *[
                    "NaN" if row[key] is None else f"{row[key] / scale:.3f}" for key, _ in bars]]))
            out.append("END")
            out.append("plot " + ", ".join(
                f'$data using {column}:xtic(1) title "{words}"'
                for column, (_, words) in enumerate(bars, 2)))
    return "\n".join([*out, "unset multiplot", ""])


def draw(rows):
    """The SVG, as text."""
    root = debian.unpack_root("gnuplot", SUITE, ("gnuplot-nox",), files=(("run", SCRIPT),))
    done = subprocess.run([root / "run"], input=commands(rows), capture_output=True, text=True,
                          check=False)
    if done.returncode or not done.stdout.startswith("<?xml"):
        raise Failure(f"gnuplot: {done.stderr.strip() or 'no picture'}")
    return done.stdout
