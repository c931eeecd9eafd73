#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages: qemu-efi-aarch64 2025.02-8+deb13u1 of Debian 13, 2022.11-6+deb12u2 of Debian 12,
#           qemu-system-arm 1:7.2+dfsg-7+deb12u18+b3 with what it needs
# Surprise: newer UEFI on "virt" opens all ports of a virtio-serial device that it finds, those
#           that are no console, too, and takes what the host has waiting there: as much
#           as its 32 buffers of 4 KiB hold, of each port. Nobody in UEFI reads it, and it
#           is gone when the guest's kernel sets the device up anew. So a guest that
#           expects a file from the host at such a port gets it without its first 128 KiB,
#           without any error. The same guest without UEFI gets it whole. Let the guest ask
#           before the host sends.
# Seen:     the lines of "wanted" below
set -eu

wanted="UEFI 2025.02: 131072 bytes of port a, 131072 bytes of port b
UEFI 2022.11: 0 bytes of port a, 0 bytes of port b
no UEFI:      0 bytes of port a, 0 bytes of port b"

apt=$(cd "$(dirname "$0")/.." && pwd)/tools/apt-private

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cd "$place"
# The libraries that this machine lacks, of the versions that go with its others
missing=$(apt-get install -s --no-install-recommends "qemu-system-arm=1:7.2+dfsg-7+deb12u18+b3" |
    sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep -v '^qemu-system-arm$' || true)
# shellcheck disable=SC2086
apt-get -qq download "qemu-system-arm=1:7.2+dfsg-7+deb12u18+b3" "qemu-efi-aarch64=2022.11-6+deb12u2" $missing
mkdir new
"$apt" trixie amd64 update > /dev/null
(cd new && "$apt" trixie amd64 -qq download "qemu-efi-aarch64=2025.02-8+deb13u1")
dpkg-deb -x new/*.deb new
for package in *.deb; do
    dpkg-deb -x "$package" .
done
libraries=$(find "$PWD" -name '*.so*' -printf '%h:' | tr ':' '\n' | sort -u | tr '\n' ':')

mkfifo a.in a.out b.in b.out

# How much of what is written to the ports a and b is gone after a minute
taken() {
    LD_LIBRARY_PATH=$libraries usr/bin/qemu-system-aarch64 -M virt -cpu cortex-a57 \
        -m 256 -accel tcg -nodefaults -display none -device virtio-serial-device \
        -chardev pipe,id=a,path=a -device virtserialport,chardev=a,name=a \
        -chardev pipe,id=b,path=b -device virtserialport,chardev=b,name=b "$@" &
    pid=$!
    python3 - <<END
import fcntl, os, struct, termios, time
pipes = {name: os.open(name + ".in", os.O_RDWR | os.O_NONBLOCK) for name in "ab"}
written = dict.fromkeys(pipes, 0)
end = time.time() + 60
while time.time() < end:
    for name, pipe in pipes.items():
        try:
            written[name] += os.write(pipe, b"x" * 4096)
        except BlockingIOError:
            time.sleep(0.01)
left = {name: struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
        for name, pipe in pipes.items()}
print(", ".join("%d bytes of port %s" % (written[name] - left[name], name) for name in pipes))
END
    kill $pid
    wait $pid || true
}

{
    echo "UEFI 2025.02: $(taken -bios new/usr/share/qemu-efi-aarch64/QEMU_EFI.fd)"
    echo "UEFI 2022.11: $(taken -bios usr/share/qemu-efi-aarch64/QEMU_EFI.fd)"
    echo "no UEFI:      $(taken)"
} > found
cat found
[ "$(cat found)" = "$wanted" ] || { echo "this has changed"; exit 1; }
echo "as expected: what waits at a port is gone before a kernel starts"
