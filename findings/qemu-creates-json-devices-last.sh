#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Package:  qemu-system-x86 1:7.2+dfsg-7+deb12u18+b3, with what it needs
# Surprise: QEMU does not create the devices of a command line in its order. All that
#           are given as "-device name,key=value" come first, then all that are given
#           as JSON. A root port written before the device on it is not found when the
#           port alone is JSON; and a device written before its port is fine when the
#           device alone is JSON. Tools that write JSON never meet it; who adds one
#           -device by hand to such a command line does, and so does whoever wants an
#           IOMMU to exist before the devices behind it.
# Seen:     "Bus 'rp' not found" in the second case of four, and in the third
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

# Two -device options; says whether the machine has both devices, or why not.
create() {
    LD_LIBRARY_PATH=$libraries timeout 120 \
        usr/bin/qemu-system-x86_64 -L usr/share/seabios -machine q35,accel=tcg -S \
        -nodefaults -display none -monitor stdio -device "$1" -device "$2" > said 2>&1 <<END || true
info qtree
quit
END
    if grep -q 'dev: edu' said; then
        echo "there"
    else
        sed -n "s/.*\(Bus 'rp' not found\).*/\1/p" said
    fi
}

port=pcie-root-port,id=rp     port_json='{"driver":"pcie-root-port","id":"rp"}'
device=edu,bus=rp             device_json='{"driver":"edu","bus":"rp"}'
{
    echo "port, device:         $(create $port $device)"
    echo "port (JSON), device:  $(create "$port_json" $device)"
    echo "device, port:         $(create $device $port)"
    echo "device (JSON), port:  $(create "$device_json" $port)"
} > found
cat found
[ "$(cat found)" = "port, device:         there
port (JSON), device:  Bus 'rp' not found
device, port:         Bus 'rp' not found
device (JSON), port:  there" ] || { echo "this has changed"; exit 1; }
echo "as expected: JSON comes last"
