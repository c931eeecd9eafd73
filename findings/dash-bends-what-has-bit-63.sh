#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages: dash 0.5.12-2 (Debian's /bin/sh), busybox-static 1:1.35.0-4+deb12u1+b1 (the
#           /bin/sh of most initramfs)
# Surprise: dash calculates with all 64 bits, but a number from 0x8000000000000000 on
#           that is written in $((...)) becomes 0x7fffffffffffffff, without an error.
#           So a script that looks at a register or a page-table entry with bit 63 set
#           (VT-d's execute-disable, say) finds bits set that are clear, and bit 63
#           clear; under busybox the same script is right. Without the dollar,
#           $((entry)) for $(($entry)), which style checkers take for the same, dash
#           stops with "Illegal number" instead. printf %x, in the same dash, reads
#           the number correctly.
# Seen:     the lines of "wanted" below
set -eu

wanted='dash 9223372036854775807 4095 0 8000000000001003
busybox -9223372036854771709 3 1 8000000000001003
dash by name: bin/dash: 1: Illegal number: 0x8000000000001003
dash 1<<63: 8000000000000000'

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cd "$place"
apt-get -qq download dash=0.5.12-2 busybox-static=1:1.35.0-4+deb12u1+b1
for package in *.deb; do
    dpkg-deb -x "$package" .
done

# The number, its low 12 bits, its bit 63, and what printf makes of it
# shellcheck disable=SC2016
script='entry=0x8000000000001003
    echo $(($entry)) $(($entry & 0xfff)) $(($entry >> 63 & 1)) $(printf %x $entry)'
# shellcheck disable=SC2016
{
    echo "dash $(bin/dash -c "$script")"
    echo "busybox $(bin/busybox sh -c "$script")"
    echo "dash by name: $(bin/dash -c 'entry=0x8000000000001003; : $((entry))' 2>&1)"
    echo "dash 1<<63: $(bin/dash -c 'printf %x $((1 << 63))')"
} > found
cat found
[ "$(cat found)" = "$wanted" ] || { echo "this has changed"; exit 1; }
echo "as expected"
