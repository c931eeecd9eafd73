# SPDX-License-Identifier: GPL-2.0-or-later
# The devices that the fuzzer's Arm target needs.
CONFIG_ARM_VIRT=y
CONFIG_ARM_SMMUV3_ACCEL=y
CONFIG_IOMMUFD=y
CONFIG_VFIO=y
CONFIG_VFIO_PCI=y
CONFIG_PCIE_PORT=y
