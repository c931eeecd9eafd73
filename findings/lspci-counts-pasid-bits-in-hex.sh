#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Package:  pciutils 1:3.9.0-4 (with libpci3 of the same version)
# Surprise: lspci -vv prints "Max PASID Width" as a hexadecimal number without 0x.
#           A device with 20 bits of PASID, the usual width, reads as one with 14,
#           a possible width too. Of the capabilities beside it, the smallest
#           translation unit of ATS (a power of two) and both counts of PRI are
#           hexadecimal as well; and ATS's queue depth of 32, which is encoded as 0,
#           is printed as 00.
# Seen:     the lines of "wanted" below, for a made-up configuration space with 20
#           bits of PASID, a queue of 32 requests, a unit of 2^16 pages, and 256
#           page requests of which 32 are allocated
set -eu

wanted='PASIDCap: Exec+ Priv+, Max PASID Width: 14
ATSCap: Invalidate Queue Depth: 00
ATSCtl: Enable+, Smallest Translation Unit: 10
Page Request Capacity: 00000100, Page Request Allocation: 00000020'

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cd "$place"
apt-get -qq download pciutils=1:3.9.0-4 libpci3=1:3.9.0-4
for package in *.deb; do
    dpkg-deb -x "$package" .
done

# What lspci -xxxx prints of a device with a PCIe capability at 0x40 and PASID, ATS
# and PRI at 0x100, 0x110, 0x120.  Lines: offset, then 16 bytes; all others are 0.
awk '
    BEGIN {
        line[0] = "34 12 e8 11 06 00 10 00 01 00 00 08 00 00 00 00"
        line[48] = "00 00 00 00 40 00 00 00 00 00 00 00 00 00 00 00"
        line[64] = "10 00 02 00 00 00 00 00 00 00 00 00 00 00 00 00"
        line[256] = "1b 00 01 11 06 14 01 00 00 00 00 00 00 00 00 00"
        line[272] = "0f 00 01 12 20 00 10 80 00 00 00 00 00 00 00 00"
        line[288] = "13 00 01 00 00 00 00 00 00 01 00 00 20 00 00 00"
        print "00:01.0 made-up"
        for (at = 0; at < 4096; at += 16)
            printf "%02x: %s\n", at, at in line ? line[at] : \
                "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
    }' > space
LD_LIBRARY_PATH=$(dirname "$(find . -name 'libpci.so.3')") usr/bin/lspci -F space -vv |
    tr '\t' ' ' | sed -n 's/^ *\(PASIDCap\|ATSCap\|ATSCtl\|Page Request\)/\1/p' > found
cat found
[ "$(cat found)" = "$wanted" ] || { echo "this has changed"; exit 1; }
echo "as expected: 20, 32, 16, 256 and 32"
