/*
 * QTest: PASIDs behind the accelerated SMMUv3 are the guest's own business: the
 * device shows a PASID capability, the host is asked for nothing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "smmuv3-accel-common.h"

#define DEV0    (1u << 8)       /* below root port 0, which leads to bus 1 */

typedef struct Case {
    const char *name;
    const char *what;
    const char *props;          /* of the SMMU */
    const char *device;         /* keys of the host device */
    uint16_t cap;               /* PASID capability register; 0: none */
} Case;

static const Case cases[] = {
    {
        "ssidsize_width", "the vIOMMU has less than the device",
        "ssidsize=4", "pasid-bits=16", 4 << 8,
    }, {
        "ssidsize-auto_width", "what the host's SMMU has is known by then",
        "ssidsize=auto", "pasid-bits=20", 16 << 8,
    }, {
        "device-narrower_width", "the device has less than the vIOMMU",
        "ssidsize=16", "pasid-bits=8 pasid-exec=1",
        8 << 8 | PCI_PASID_CAP_EXEC,
    }, {
        "ssidsize-zero_none", "the vIOMMU has no substreams",
        "ssidsize=0", "pasid-bits=16", 0,
    }, {
        "device-without_none", "the device has no PASIDs",
        "ssidsize=16", "pasid-bits=0", 0,
    },
};

static void test_case(const void *data)
{
    const Case *c = data;
    g_autofree char *host =
        g_strdup_printf("iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x "
                        "idr3=0x%x idr5=0x%x\n"
                        "device dev0 iommu=iommu0 %s\n", HOST_IDR0, HOST_IDR1,
                        HOST_IDR3, HOST_IDR5, c->device);
    Smmuv3AccelSetup setup = {
        .host = host, .smmu_props = c->props, .cold = 1,
    };
    Smmuv3AccelTest t;
    uint32_t header;

    g_test_message("%s", c->what);
    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    g_assert_cmphex(fakehost_cfg_readl(t.host, DEV0, PCI_VENDOR_ID), ==,
                    0x00101b36);
    header = fakehost_cfg_readl(t.host, DEV0, PCI_CFG_SPACE_SIZE);
    g_assert_cmphex(PCI_EXT_CAP_ID(header), ==,
                    c->cap ? PCI_EXT_CAP_ID_PASID : 0);
    if (c->cap) {
        g_assert_cmphex(fakehost_cfg_readl(t.host, DEV0, PCI_CFG_SPACE_SIZE +
                                           PCI_PASID_CAP), ==, c->cap);
    }
    /* The parent is one and nothing else: the kernel would refuse */
    fakehost_expect_log(t.host, 0, "IOMMU_HWPT_ALLOC flags=0x1 ", " = 0");
    g_assert_cmpuint(fakehost_failed_calls(t.host, "IOMMU_HWPT_ALLOC"), ==, 0);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_cases("/smmuv3-accel/pasid", cases, test_case);
    return g_test_run();
}
