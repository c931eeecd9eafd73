#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Package:  qemu-system-x86 1:7.2+dfsg-7+deb12u18+b3, with what it needs
# Surprise: the property addr of a PCI device is a slot, or a slot and a function, as
#           in "addr=4" and "addr=4.1". In JSON that is so for a string only: a number
#           is slot times 8 plus function. So "addr": 32 is accepted for what "addr":
#           "4" says, and "addr": 4, which looks like it, is function 4 of slot 0,
#           where a device with one function cannot be. Who translates addr=4 to JSON
#           as a number, as is right for the other numbers, has a device elsewhere, and
#           with it another requester id, from 8 on without any error.
# Seen:     the lines of "wanted" below
set -eu

version=1:7.2+dfsg-7+deb12u18+b3

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cd "$place"
# The libraries that this machine lacks, of the versions that go with its others
missing=$(apt-get install -s --no-install-recommends "qemu-system-x86=$version" |
    sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep -v '^qemu-system-x86$' || true)
# shellcheck disable=SC2086
apt-get -qq download "qemu-system-x86=$version" seabios $missing
for package in *.deb; do
    dpkg-deb -x "$package" .
done
libraries=$(find "$PWD" -name '*.so*' -printf '%h:' | tr ':' '\n' | sort -u | tr '\n' ':')

# One -device option; says where the device is, or why it is nowhere.
create() {
    LD_LIBRARY_PATH=$libraries timeout 120 usr/bin/qemu-system-x86_64 \
        -L usr/share/seabios -machine q35,accel=tcg -S -nodefaults -display none \
        -monitor stdio -device "$1" > said 2>&1 <<END || true
info qtree
quit
END
    if grep -q 'dev: edu' said; then
        sed -n '/dev: edu/,/addr = /s/.*addr = \([0-9a-f.]*\).*/\1/p' said
    else
        sed -n 's/.*\(function 0.4\).*/refused: \1/p' said
    fi
}

wanted='addr=4         04.0
"addr": "4"    04.0
"addr": 32     04.0
"addr": 8      01.0
"addr": 4      refused: function 0.4'
{
    echo "addr=4         $(create edu,addr=4)"
    for addr in '"4"' 32 8 4; do
        printf '%-14s %s\n' "\"addr\": $addr" "$(create "{\"driver\":\"edu\",\"addr\":$addr}")"
    done
} > found
cat found
[ "$(cat found)" = "$wanted" ] || { echo "this has changed"; exit 1; }
echo "as expected: a number is a devfn, a string a slot"
