#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Package:  linux-config-6.12 6.12.117-1~deb12u1, the configuration with which Debian
#           builds its kernel 6.12 (the one of Debian 13, here as rebuilt for 12)
# Surprise: everything that iommufd is made for is switched on: VFIO, PASID, ATS, PRI,
#           shared virtual addressing, VT-d scalable mode even by default. iommufd
#           itself is not built, not even as a module. So there is no /dev/iommu and,
#           without it, no /dev/vfio/devices: "-object iommufd", which Debian's own
#           QEMU 10.0 has, cannot work on Debian's own kernel.
# Seen:     in both the generic and the cloud flavour, the lines of "wanted" below
set -eu

wanted='CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON=y
CONFIG_INTEL_IOMMU_SVM=y
CONFIG_IOMMU_IOPF=y
CONFIG_IOMMU_SVA=y
CONFIG_PCI_ATS=y
CONFIG_PCI_PASID=y
CONFIG_PCI_PRI=y
CONFIG_VFIO=m
# CONFIG_IOMMUFD is not set'

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cd "$place"
apt-get -qq download linux-config-6.12=6.12.117-1~deb12u1
dpkg-deb -x linux-config-*.deb .

for flavour in amd64 cloud-amd64; do
    found=$(xz -dc "usr/src/linux-config-6.12/config.amd64_none_$flavour.xz" | LC_ALL=C grep -E \
        '^(# )?CONFIG_(INTEL_IOMMU_(SCALABLE_MODE_DEFAULT_ON|SVM)|IOMMU_(IOPF|SVA)|PCI_(ATS|PASID|PRI)|VFIO|VFIO_DEVICE_CDEV|IOMMUFD)[ =]' |
        LC_ALL=C sort)
    echo "$flavour:"
    echo "$found"
    [ "$(echo "$wanted" | LC_ALL=C sort)" = "$found" ] || { echo "this has changed"; exit 1; }
done
echo "as expected: all but CONFIG_IOMMUFD"
