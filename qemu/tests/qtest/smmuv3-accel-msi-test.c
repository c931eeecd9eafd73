/*
 * QTest: MSIs behind the accelerated SMMUv3 reach the interrupt controller
 *
 * The guest chooses the address of the doorbell in tables that only the
 * hardware walks.  A root port sends the MSIs here; host devices send theirs
 * the same way.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "smmuv3-accel-common.h"

#define PORT            (4u << 3)           /* root port 0 */
#define PORT_BAR        0x10000000u
#define DOORBELL_OFFSET 0x040               /* GITS_TRANSLATER in its page */
#define MSI_DATA        0x2a

#define TRACES "-trace gicv3_its_translation_write -trace smmuv3_find_ste " \
               "-trace smmuv3_get_ste -trace smmuv3_translate_* "

/* Have root port 0 send an MSI to @addr: there has been a hotplug event */
static void program_port(Smmuv3AccelTest *t, uint64_t addr, uint32_t data,
                         bool master)
{
    QTestState *qts = t->host->qts;
    unsigned msix = fakehost_find_cap(t->host, PORT, PCI_CAP_ID_MSIX);
    unsigned express = fakehost_find_cap(t->host, PORT, PCI_CAP_ID_EXP);

    fakehost_cfg_writel(t->host, PORT, PCI_BASE_ADDRESS_0, PORT_BAR);
    fakehost_cfg_writew(t->host, PORT, PCI_COMMAND, PCI_COMMAND_MEMORY |
                        (master ? PCI_COMMAND_MASTER : 0));
    qtest_writel(qts, PORT_BAR, addr);
    qtest_writel(qts, PORT_BAR + 4, addr >> 32);
    qtest_writel(qts, PORT_BAR + 8, data);
    qtest_writel(qts, PORT_BAR + 12, 0);
    fakehost_cfg_writew(t->host, PORT, msix + PCI_MSIX_FLAGS,
                        PCI_MSIX_FLAGS_ENABLE);
    fakehost_cfg_writew(t->host, PORT, express + PCI_EXP_SLTCTL,
                        PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE |
                        PCI_EXP_SLTCTL_HPIE);
}

typedef struct Case {
    const char *name;
    uint64_t addr;
    bool masked;                /* bus master is off */
    bool translating;           /* the SMMU is on, with a table of nowhere */
    const char *args;
} Case;

static const Case cases[] = {
    { "pass-through_arrives", 0x08090000 },
    { "iova_arrives", 0x08000000, .translating = true },
    { "iova-high_arrives", 0xfffffffff000ull, .translating = true },
    { "iova-zero_arrives", 0, .translating = true },
    { "iova-over-memory_arrives", 0x41000000, .translating = true },
    { "its-in-window_arrives", 0x41000000, .translating = true,
      .args = "-M its-in-msi-window=on " },
    { "not-bus-master_stays", 0x08090000, .masked = true },
};

static void test_msi(const void *data)
{
    const Case *c = data;
    g_autofree char *args = g_strdup_printf(TRACES "%s", c->args ?: "");
    Smmuv3AccelSetup setup = { .devices = 1, .args = args };
    g_autofree char *err = NULL;
    Smmuv3AccelTest t;
    unsigned arrived;
    size_t mark;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    if (c->translating) {
        t.guest.strtab = 0x7ff000000000ull;
        smmuv3_guest_enable(&t.guest);
    }
    mark = fakehost_err_mark(t.host);
    program_port(&t, c->addr | DOORBELL_OFFSET, MSI_DATA, !c->masked);
    smmuv3_accel_expect_alive(&t);
    err = fakehost_err_since(t.host, mark);
    g_test_message("%s", err);
    arrived = fakehost_err_lines(t.host, mark, "gicv3_its_translation_write");
    if (c->masked) {
        g_assert_cmpuint(arrived, ==, 0);
    } else {
        g_assert_cmpuint(arrived, >=, 1);
        g_assert_nonnull(strstr(err, "offset 0x40"));
        g_assert_nonnull(strstr(err, "data 0x2a"));
    }
    /* And nobody looked into the guest's tables for it */
    g_assert_cmpuint(fakehost_err_lines(t.host, mark, "smmuv3_"), ==, 0);
    fakehost_free(t.host);
}

/* A machine without ITS has its doorbell in the frame of a GICv2m */
static void test_gicv2m(void)
{
    const uint64_t gicd = 0x08000000;
    const unsigned irq = 32 + 48;       /* the first one of the frame */
    const uint64_t config = gicd + 0xc00 + irq / 16 * 4;
    const uint64_t pending = gicd + 0x200 + irq / 32 * 4;
    Smmuv3AccelSetup setup = { .devices = 1, .args = "-M gic-version=2 " };
    Smmuv3AccelTest t;
    QTestState *qts;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    qts = t.host->qts;
    t.guest.strtab = 0x7ff000000000ull;
    smmuv3_guest_enable(&t.guest);
    /* Keep a pulse */
    qtest_writel(qts, config, qtest_readl(qts, config) | 2u << irq % 16 * 2);
    g_assert_cmphex(qtest_readl(qts, pending) & 1u << irq % 32, ==, 0);
    program_port(&t, 0x41000000 | DOORBELL_OFFSET, irq, true);
    g_assert_cmphex(qtest_readl(qts, pending) & 1u << irq % 32, !=, 0);
    fakehost_free(t.host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/smmuv3-accel/msi", cases, test_msi);
    qtest_add_func("/smmuv3-accel/msi/gicv2m_arrives", test_gicv2m);
    return g_test_run();
}
