# SPDX-License-Identifier: GPL-2.0-or-later
# The devices that the fuzzer's targets need.
CONFIG_Q35=y
CONFIG_VTD=y
CONFIG_VTD_ACCEL=y
CONFIG_IOMMUFD=y
CONFIG_VFIO=y
CONFIG_VFIO_PCI=y
CONFIG_PCIE_PORT=y
