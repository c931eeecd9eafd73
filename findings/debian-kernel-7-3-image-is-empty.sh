#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages: linux-image-, linux-binary- and linux-base-7.3.4+deb13-amd64 7.3.4-1~bpo13+1,
#           and linux-base 4.17~bpo13+1, the kernel of Debian trixie-backports
# Surprise: linux-image-VERSION, which has held the kernel and its configuration since
#           there are Debian kernels, is empty. The image is in linux-binary-VERSION,
#           config and modules.builtin are in linux-base-VERSION, below
#           /usr/lib/modules/VERSION; no package has a file in /boot. What stands there
#           after an installation is a copy that a hook of linux-base made, which no
#           package owns: "dpkg -S /boot/vmlinuz-..." finds nothing. What unpacks
#           linux-image to get a kernel, as builders of images and testbeds do, gets none.
# Seen:     the lines of "wanted" below
set -eu

version=7.3.4+deb13-amd64
wanted="linux-base-$version ./usr/lib/modules/$version/config
linux-base-$version ./usr/lib/modules/$version/modules.builtin
linux-binary-$version ./usr/lib/modules/$version/vmlinuz
linux-base ./usr/share/kernel/postinst.d/00-legacy-boot"

apt=$(cd "$(dirname "$0")/.." && pwd)/tools/apt-private
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
"$apt" trixie-backports amd64 update > /dev/null
for part in image binary base; do
    "$apt" trixie-backports amd64 -qq download "linux-$part-$version=7.3.4-1~bpo13+1"
done
"$apt" trixie-backports amd64 -qq download "linux-base=4.17~bpo13+1"

for name in "linux-base-$version" "linux-binary-$version" "linux-image-$version" linux-base; do
    dpkg-deb -c "$name"_*.deb | awk '{ print $6 }' |
        grep -E '^\./boot/|/(config|modules\.builtin|vmlinuz)$|/legacy-boot|/[0-9]*-legacy-boot$' |
        sed "s/^/$name /" | grep -v prerm || true
done > found
cat found
[ "$(cat found)" = "$wanted" ] || { echo "this has changed"; exit 1; }
echo "as expected"
