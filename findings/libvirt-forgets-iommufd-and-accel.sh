#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages: libvirt0, libvirt-clients 9.0.0-4+deb12u2 (Debian 12)
# Surprise: a domain that asks for nesting, as libvirt 12 describes it, is defined by an older
#           libvirt without a word, and without nesting: of <driver name='vfio' iommufd='yes'/>
#           the name is left, <driver accel='on' pciBus='1'/> is gone altogether, so that
#           model='smmuv3' means an SMMU that is emulated, and so is <iommufd enabled='yes'/>.
#           Nothing of it is in what dumpxml says, so that what was asked for is lost for
#           a later libvirt, too.
# Seen:     the lines of "wanted" below
set -eu

wanted="Domain 'guest' defined from domain.xml
<hostdev mode='subsystem' type='pci' managed='yes'>
<driver name='vfio'/>
<iommu model='smmuv3'/>"

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cd "$place"
apt-get -qq download libvirt0=9.0.0-4+deb12u2 libvirt-clients=9.0.0-4+deb12u2 \
    libnl-3-200=3.7.0-0.2+b1 libssh-4 libyajl2
for package in *.deb; do
    dpkg-deb -x "$package" .
done
cat > domain.xml <<'XML'
<domain type='test'>
  <name>guest</name>
  <memory unit='MiB'>64</memory>
  <os><type>hvm</type></os>
  <iommufd enabled='yes'/>
  <devices>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <driver name='vfio' iommufd='yes'/>
      <source><address domain='0' bus='1' slot='0' function='0'/></source>
    </hostdev>
    <iommu model='smmuv3'><driver accel='on' pciBus='1'/></iommu>
  </devices>
</domain>
XML

# libvirt's own driver for tests; it reads and keeps domains as that of QEMU does
LD_LIBRARY_PATH=$place/usr/lib/$(uname -m)-linux-gnu:$place/lib/$(uname -m)-linux-gnu \
    usr/bin/virsh -c test:///default "define domain.xml; dumpxml guest" |
    sed -n "s/^ *//; /^Domain/p; /hostdev mode/p; /driver/p; /iommu/p" > found
cat found
[ "$(cat found)" = "$wanted" ] || { echo "this has changed"; exit 1; }
echo "as expected"
