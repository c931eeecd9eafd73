#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages: linux-source-7.3 7.3.4-1~bpo13+1, the kernel source of Debian trixie-backports
# Surprise: a kernel with iommufd, VFIO and CONFIG_PCI_P2PDMA, all set on purpose, has no
#           VFIO_DEVICE_FEATURE_DMA_BUF: the call gives ENOTTY. CONFIG_VFIO_PCI_DMABUF
#           has no prompt and is there only with CONFIG_DMA_SHARED_BUFFER, which has none
#           either; both lines are dropped from a configuration without a word. Neither
#           iommufd nor VFIO selects it. A graphics driver does, or CONFIG_SYNC_FILE, so
#           that a desktop's kernel can map BARs for other devices, and a small host's
#           kernel cannot.
# Seen:     the lines of "wanted" below
set -eu

wanted="as asked: P2PDMA=y DMA_SHARED_BUFFER=- VFIO_PCI_DMABUF=-
with SYNC_FILE: P2PDMA=y DMA_SHARED_BUFFER=y VFIO_PCI_DMABUF=y"

apt=$(cd "$(dirname "$0")/.." && pwd)/tools/apt-private
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
"$apt" trixie-backports amd64 update > /dev/null
"$apt" trixie-backports amd64 -qq download linux-source-7.3=7.3.4-1~bpo13+1
dpkg-deb --fsys-tarfile linux-source-7.3_*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
    tar -xJ --wildcards --wildcards-match-slash '*/Makefile' '*/Kconfig*' '*/scripts/*' '*/arch/x86/*'

cat > asked <<'END'
CONFIG_64BIT=y
CONFIG_EXPERT=y
CONFIG_ACPI=y
CONFIG_PCI=y
CONFIG_PCI_MSI=y
CONFIG_MEMORY_HOTPLUG=y
CONFIG_MEMORY_HOTREMOVE=y
CONFIG_ZONE_DEVICE=y
CONFIG_PCI_P2PDMA=y
CONFIG_IOMMU_SUPPORT=y
CONFIG_INTEL_IOMMU=y
CONFIG_IOMMUFD_DRIVER=y
CONFIG_IOMMUFD=y
CONFIG_VFIO=y
CONFIG_VFIO_DEVICE_CDEV=y
CONFIG_VFIO_PCI=y
CONFIG_DMA_SHARED_BUFFER=y
CONFIG_VFIO_PCI_DMABUF=y
END

# configure NAME LINE...: the asked-for lines and these
configure() {
    name=$1 all=$place/fragment
    shift
    { cat asked; printf '%s\n' "$@"; } > "$all"
    make -s -C linux-source-7.3 ARCH=x86_64 KCONFIG_ALLCONFIG="$all" allnoconfig > log 2>&1 ||
        { cat log >&2; exit 1; }
    echo "$name:" "$(for symbol in PCI_P2PDMA DMA_SHARED_BUFFER VFIO_PCI_DMABUF; do
        value=$(sed -n "s/^CONFIG_$symbol=//p" linux-source-7.3/.config)
        printf '%s=%s ' "${symbol#PCI_}" "${value:--}"
    done)" | sed 's/ $//'
}

{
    configure "as asked"
    configure "with SYNC_FILE" CONFIG_SYNC_FILE=y
} > found
cat found
[ "$(cat found)" = "$wanted" ] || { echo "this has changed"; exit 1; }
echo "as expected"
