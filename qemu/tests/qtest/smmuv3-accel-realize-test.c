/*
 * QTest: which host devices the accelerated SMMUv3 takes, what it then tells
 * the guest, and how it says no
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "hw/pci/pci_regs.h"
#include "smmuv3-accel-common.h"

#define PARTS           4
#define ONE_COLD(p)     { .cold = 1, .smmu_props = p }

/* A host with a register of its own, and what is said about it */
typedef struct Case {
    const char *name;
    Smmuv3AccelSetup setup;
    const char *props;              /* of vfio-pci; NULL: WITH_IOMMUFD */
    const char *error[PARTS];       /* what the error names; none: accepted */
} Case;

static const Case cases[] = {
    { "full-host_accepted" },
    /* QEMU reads the guest's stream table itself */
    { "no-stlevel_accepted", { .idr0 = HOST_IDR0_STLEVEL } },
    { "big-endian_refused", { .idr0 = 1u << 21 },
      .error = { "host SMMU has", "TTENDIAN) 3", "needs 2" } },
    { "mixed-endian_accepted", { .idr0 = HOST_IDR0_TTENDIAN } },
    { "aarch32-tables_refused", { .idr0 = 3u << 2 },
      .error = { "TTF) 1", "needs 2" } },
    { "both-tables_accepted", { .idr0 = 1u << 2 } },
    { "stall-forced_refused", { .idr0 = 3u << 24 },
      .error = { "STALL_MODEL) 2", "needs 1" } },
    { "sidsize_accepted", { .idr1 = 16 ^ 8 } },
    { "ssidsize_refused", { .idr1 = HOST_IDR1_SSIDSIZE(16 ^ 3) },
      .error = { "SSIDSIZE) 3", "needs 4", "lower ssidsize=" } },
    { "ssidsize-just_accepted", { .idr1 = HOST_IDR1_SSIDSIZE(16 ^ 4) } },
    /* Nobody has told the guest that there are any */
    { "no-cd2l_accepted", { .idr0 = HOST_IDR0_CD2L } },
    { "ril_refused", { .idr3 = HOST_IDR3_RIL },
      .error = { "RIL) 0", "needs 1", "ril=off" } },
    { "ril-not-needed_accepted", { .idr3 = HOST_IDR3_RIL,
      .smmu_props = "ril=off,ats=on,oas=44,ssidsize=4" } },
    { "oas_refused", { .idr5 = 5 ^ 3 },
      .error = { "OAS) 42", "needs 44", "lower oas=" } },
    { "oas-just_accepted", { .idr5 = 5 ^ 4 } },
    /* Nobody has told the guest of them */
    { "oas-52_accepted", { .idr5 = 5 ^ 6 } },
    { "vax_accepted", { .idr5 = 1u << 10 } },
    /* It is not used then */
    { "ats_accepted", { .idr0 = HOST_IDR0_ATS } },
    { "ats-not-needed_accepted", { .idr0 = HOST_IDR0_ATS,
      .smmu_props = "ril=on,ats=off,oas=44,ssidsize=4" } },
    { "asid16_refused", { .idr0 = 1u << 12 },
      .error = { "ASID16) 0", "needs 1" } },
    { "gran4k_refused", { .idr5 = HOST_IDR5_GRAN4K },
      .error = { "GRAN4K) 0", "needs 1" } },
    { "gran16k_refused", { .idr5 = HOST_IDR5_GRAN16K },
      .error = { "GRAN16K) 0", "needs 1" } },
    { "gran64k_refused", { .idr5 = HOST_IDR5_GRAN64K },
      .error = { "GRAN64K) 0", "needs 1" } },
    { "one-stage_refused", { .idr0 = 1 },
      .error = { "" } },
    { "no-fwb_refused", { .idr3 = HOST_IDR3_FWB },
      .error = { "" } },
    { "vtd_refused", { .host_type = "none" },
      .error = { "type 0", "needs type 2", "Arm SMMUv3" } },
    /* The nesting parent can have no other flag, whatever the host could do */
    { "dirty-tracking-host_accepted", { .idr0 = 2u << 6 } },
    { "no-iommufd_refused", .props = "",
      .error = { "iommufd=iommufd0" } },
};

/* VFIO puts the device's name in front: nobody needs to say it again */
static void expect_named_once(const char *error)
{
    g_autofree char *name = NULL;
    const char *start = error + strlen("vfio ");

    if (g_str_has_prefix(error, "vfio ")) {
        name = g_strndup(start, strcspn(start, ":"));
        g_assert_null(strstr(start + strlen(name), name));
    }
}

/* Not when the guest wants translation: it could not know why it fails */
static void test_two_streams(void)
{
    g_autofree char *host = g_strdup_printf(
        "iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x\n"
        "device dev0 iommu=iommu0 streams=2\ndevice dev1 iommu=iommu0\n",
        HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5);
    Smmuv3AccelSetup setup = { .host = host };
    g_autofree char *error = NULL;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    error = fakehost_try_plug(t.host, 0, WITH_IOMMUFD);
    g_assert_nonnull(error);
    fakehost_expect_empty(t.host);
    fakehost_plug(t.host, 1);
    smmuv3_accel_bind(&t, 1);
    fakehost_unplug(t.host, 1);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

static void test_realize(const void *data)
{
    const Case *c = data;
    g_autofree char *error = NULL;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &c->setup)) {
        return;
    }
    error = fakehost_try_plug(t.host, 0, c->props ?: WITH_IOMMUFD);
    if (!c->error[0]) {
        g_assert_cmpstr(error, ==, NULL);
        /* GBPA lets all pass after a reset */
        smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);
        g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_IOAS), ==, 1);
        g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VIOMMU), ==, 1);
        fakehost_unplug(t.host, 0);
    } else {
        g_assert_nonnull(error);
        g_test_message("error: %s", error);
        expect_named_once(error);
        for (size_t i = 0; i < PARTS && c->error[i]; i++) {
            g_assert_nonnull(strstr(error, c->error[i]));
        }
    }
    smmuv3_accel_expect_alive(&t);
    fakehost_expect_empty(t.host);
    /* One that was refused does not spoil the next try of another */
    fakehost_free(t.host);
}

/* --- what the guest is told --- */

typedef struct Told {
    const char *name;
    Smmuv3AccelSetup setup;
    unsigned ril, ats, oas, ssidsize, cd2l, vax;
} Told;

static const Told told[] = {
    { "auto_as-host", ONE_COLD("ril=auto"), 1, 1, 5, 16, 1 },
    { "auto-no-ril_as-host", { .cold = 1, .idr3 = HOST_IDR3_RIL }, 0, 1, 5,
      16, 1 },
    { "auto-no-ats_as-host", { .cold = 1, .idr0 = HOST_IDR0_ATS }, 1, 0, 5,
      16, 1 },
    { "auto-oas_as-host", { .cold = 1, .idr5 = 5 ^ 4 }, 1, 1, 4, 16, 1 },
    { "auto-oas-52_capped", { .cold = 1, .idr5 = 5 ^ 6 }, 1, 1, 5, 16, 1 },
    { "auto-vax_as-host", { .cold = 1, .idr5 = 1u << 10 }, 1, 1, 5, 16, 1, 1 },
    /* 56 bits take other tables */
    { "auto-vax-56_capped", { .cold = 1, .idr5 = 2u << 10 }, 1, 1, 5, 16, 1,
      1 },
    { "auto-all-52_as-far-as-known", { .cold = 1, .idr5 = (5 ^ 6) | 1u << 10 },
      1, 1, 5, 16, 1, 1 },
    { "auto-no-ssids_as-host",
      { .cold = 1, .idr1 = HOST_IDR1_SSIDSIZE(16) }, 1, 1, 5, 0, 0 },
    { "auto-no-cd2l_as-host", { .cold = 1, .idr0 = HOST_IDR0_CD2L }, 1, 1, 5,
      16, 0 },
    /* There are no tables of CDs without substreams */
    { "no-ssids-asked_no-cd2l", ONE_COLD("ssidsize=0"), 1, 1, 5, 0, 0 },
    { "values_as-asked", ONE_COLD("ril=off,ats=off,oas=40,ssidsize=2"), 0, 0,
      2, 2, 1 },
    { "values-no-device_as-asked",
      { .smmu_props = "ril=off,ats=on,oas=32,ssidsize=20,"
        "cmdqv=off,smmu_per_bus=off" }, 0, 1, 0, 20,
      0 },
};

static void test_told(const void *data)
{
    const Told *c = data;
    Smmuv3AccelTest t;
    Smmuv3Guest *g = &t.guest;
    uint32_t idr0, idr3, idr5;

    if (!smmuv3_accel_start(&t, &c->setup)) {
        return;
    }
    idr0 = smmuv3_guest_readl(g, SMMUV3_IDR0);
    idr3 = smmuv3_guest_readl(g, SMMUV3_IDR3);
    g_assert_cmphex(idr0 & 3, ==, 2);
    g_assert_cmpuint(idr0 >> 10 & 1, ==, c->ats);
    g_assert_cmpuint(idr0 >> 19 & 1, ==, c->cd2l);
    g_assert_cmpuint(idr3 >> 10 & 1, ==, c->ril);
    g_assert_cmpuint(smmuv3_guest_readl(g, SMMUV3_IDR1) >> 6 & 0x1f, ==,
                     c->ssidsize);
    idr5 = smmuv3_guest_readl(g, SMMUV3_IDR5);
    g_assert_cmpuint(idr5 & 7, ==, c->oas);
    g_assert_cmpuint(idr5 >> 10 & 3, ==, c->vax);
    /* All granules that guests choose from */
    g_assert_cmphex(idr5 >> 4 & 7, ==, 7);
    /* A reset does not change it, nor does the device going */
    if (c->setup.cold) {
        fakehost_unplug(t.host, 0);
        fakehost_expect_empty(t.host);
    }
    fakehost_reset(t.host);
    g_assert_cmphex(smmuv3_guest_readl(g, SMMUV3_IDR0), ==, idr0);
    g_assert_cmphex(smmuv3_guest_readl(g, SMMUV3_IDR3), ==, idr3);
    g_assert_cmphex(smmuv3_guest_readl(g, SMMUV3_IDR5), ==, idr5);
    fakehost_free(t.host);
}

/* ATS is the host SMMU's, whichever device comes first, and cannot do it */
static void test_ats_order(const void *data)
{
    const char *first = data;
    g_autofree char *host = g_strdup_printf(
        "iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x\n"
        "device dev0 iommu=iommu0 ats=%s\ndevice dev1 iommu=iommu0 ats=%s\n",
        HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5, first,
        *first == '0' ? "1" : "0");
    Smmuv3AccelSetup setup = { .host = host, .cold = 2 };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    g_assert_cmphex(smmuv3_guest_readl(&t.guest, SMMUV3_IDR0) & HOST_IDR0_ATS,
                    ==, HOST_IDR0_ATS);
    smmuv3_guest_enable(&t.guest);
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *ste = NULL;
        bool has_ats = i == (*first == '0');

        smmuv3_guest_write_ste(&t.guest, fakehost_sid(i),
                               smmuv3_accel_s1_ste(i), SMMUV3_STE1_EATS);
        smmuv3_guest_cfgi(&t.guest, fakehost_sid(i));
        smmuv3_accel_expect(&t, i, SMMUV3_IS_S1);
        ste = g_strdup_printf("ste=[0x%" PRIx64 ",0x%llx]",
                              smmuv3_accel_s1_ste(i),
                              has_ats ? SMMUV3_STE1_EATS : 0);
        fakehost_expect_log(t.host, 0, "HWPT_ALLOC", ste);
    }
    fakehost_free(t.host);
}

/* --- later devices --- */

static const char two_hosts[] =
    "iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x\n"
    "iommu iommu1 type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x\n"
    "device dev0 iommu=iommu0\n"
    "device dev1 iommu=iommu1\n"
    "device dev2 iommu=iommu0\n";

static char *describe_two(uint32_t idr5_of_first, uint32_t idr0_of_second,
                          uint32_t idr3_of_second)
{
    return g_strdup_printf(two_hosts, HOST_IDR0, HOST_IDR1, HOST_IDR3,
                           idr5_of_first, idr0_of_second, HOST_IDR1,
                           idr3_of_second, HOST_IDR5);
}

/* Devices of two host SMMUs cannot be behind one: their TLBs are two */
static void test_two_host_smmus(void)
{
    g_autofree char *host = describe_two(HOST_IDR5, HOST_IDR0, HOST_IDR3);
    Smmuv3AccelSetup setup = { .host = host, .cold = 1, .ports = 3 };
    g_autofree char *error = NULL;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    error = fakehost_try_plug(t.host, 1, WITH_IOMMUFD);
    fakehost_expect_text(error, "another host SMMU");
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);
    /* It spoils nothing for one that fits */
    fakehost_plug(t.host, 2);
    smmuv3_accel_expect(&t, 2, SMMUV3_IS_BYPASS);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_VIOMMU), ==, 1);
    g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_HWPT_PAGING), ==, 1);
    fakehost_unplug(t.host, 0);
    fakehost_unplug(t.host, 2);
    fakehost_expect_empty(t.host);
    /* With nobody left, the other host is as good, and replug works */
    fakehost_plug(t.host, 1);
    smmuv3_accel_expect(&t, 1, SMMUV3_IS_BYPASS);
    fakehost_unplug(t.host, 1);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

static const struct Frozen {
    const char *name;
    uint32_t idr0, idr3;        /* of the second host, XOR HOST_IDRn */
    uint32_t idr5;              /* of the first host, likewise */
    const char *props;
    const char *error;          /* NULL: accepted */
} frozen[] = {
    { "ril_refused", .idr3 = HOST_IDR3_RIL, .error = "RIL) 0" },
    { "cd2l_refused", .idr0 = HOST_IDR0_CD2L,
      .error = "two-level CD tables (IDR0.CD2L) 0, arm-smmuv3 with accel=on "
               "needs 1: have it there at start" },
    { "cd2l-no-ssids_accepted", .idr0 = HOST_IDR0_CD2L,
      .props = "ssidsize=0" },
    { "vax_refused", .idr5 = 1u << 10,
      .error = "virtual address bits (IDR5.VAX) 0, arm-smmuv3 with accel=on "
               "needs 1: have it there at start" },
};

/* What the first device decided holds for all that follow */
static void test_frozen(const void *data)
{
    const struct Frozen *c = data;
    g_autofree char *host = describe_two(HOST_IDR5 ^ c->idr5,
                                         HOST_IDR0 ^ c->idr0,
                                         HOST_IDR3 ^ c->idr3);
    Smmuv3AccelSetup setup = {
        .host = host, .cold = 1, .ports = 3, .smmu_props = c->props,
    };
    g_autofree char *error = NULL;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    fakehost_unplug(t.host, 0);
    error = fakehost_try_plug(t.host, 1, WITH_IOMMUFD);
    if (!c->error) {
        g_assert_cmpstr(error, ==, NULL);
        smmuv3_accel_expect(&t, 1, SMMUV3_IS_BYPASS);
        fakehost_free(t.host);
        return;
    }
    fakehost_expect_text(error, c->error);
    fakehost_expect_empty(t.host);
    fakehost_plug(t.host, 0);
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);
    fakehost_free(t.host);
}

static void test_two_iommufds(void)
{
    Smmuv3AccelSetup setup = { .devices = 1, .iommufds = 2 };
    g_autofree char *error = NULL;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    error = fakehost_try_plug(t.host, 1, ", 'iommufd': 'iommufd1'");
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error, "another iommufd"));
    fakehost_plug(t.host, 1);
    fakehost_free(t.host);
}

static void test_replug_50(void)
{
    Smmuv3AccelSetup setup = { 0 };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_guest_enable(&t.guest);
    for (unsigned i = 0; i < 50; i++) {
        fakehost_plug(t.host, 0);
        fakehost_plug(t.host, 1);
        smmuv3_accel_bind(&t, i & 1);
        fakehost_unplug(t.host, 0);
        fakehost_unplug(t.host, 1);
        fakehost_expect_empty(t.host);
        smmuv3_guest_write_ste(&t.guest, fakehost_sid(i & 1), 0, 0);
    }
    fakehost_free(t.host);
}

/* --- other devices --- */

static char *device_add(Smmuv3AccelTest *t, const char *driver, const char *bus)
{
    return fakehost_qmp_error(t->host, "{ 'execute': 'device_add',"
                              " 'arguments': { 'driver': %s, 'bus': %s } }",
                              driver, bus);
}

static void test_emulated(void)
{
    Smmuv3AccelSetup setup = { .devices = 1, .args =
        "-device pcie-pci-bridge,id=ppb,bus=rp1 "
        "-device x3130-upstream,id=up,bus=rp2 "
        "-device xio3130-downstream,id=down,bus=up,chassis=9 ", .ports = 4 };
    static const char *const drivers[] = { "virtio-net-pci", "pci-testdev" };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        g_autofree char *error = NULL;

        if (!qtest_has_device(drivers[i])) {
            continue;
        }
        error = device_add(&t, drivers[i], "rp3");
        fakehost_expect_text(error, drivers[i]);
        g_assert_nonnull(strstr(error, "accel=on"));
    }
    smmuv3_accel_expect(&t, 0, SMMUV3_IS_BYPASS);
    fakehost_free(t.host);
}

/* What a device's config space says about PASIDs: their width, 0 for none */
static unsigned pasid_bits(Smmuv3AccelTest *t, unsigned n)
{
    unsigned pos = 0x100;

    for (unsigned i = 0; pos && i < 100; i++) {
        uint32_t header = fakehost_cfg_readl(t->host, fakehost_sid(n), pos);

        if ((header & 0xffff) == PCI_EXT_CAP_ID_PASID) {
            return fakehost_cfg_readl(t->host, fakehost_sid(n), pos + 4) >>
                   8 & 0x1f;
        }
        pos = header >> 20;
    }
    return 0;
}

/* The smaller one of the device's and the SMMU's width */
static void test_pasids(void)
{
    g_autofree char *host = g_strdup_printf(
        "iommu a type=smmuv3 idr0=0x%x idr1=0x%x idr3=0x%x idr5=0x%x\n"
        "device dev0 iommu=a pasid-bits=8\n"
        "device dev1 iommu=a pasid-bits=3\n"
        "device dev2 iommu=a\n", HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5);
    /* A slot that is plugged later has no power until the guest gives it */
    Smmuv3AccelSetup setup = {
        .host = host, .cold = 3, .smmu_props = SMMUV3_ACCEL_FIXED,
    };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    g_assert_cmpuint(pasid_bits(&t, 0), ==, 4);
    g_assert_cmpuint(pasid_bits(&t, 1), ==, 3);
    g_assert_cmpuint(pasid_bits(&t, 2), ==, 0);
    fakehost_free(t.host);
}

/* --- starts that have to fail --- */

static const struct Start {
    const char *name;
    Smmuv3AccelSetup setup;
    const char *before;         /* arguments that come first */
    const char *error[PARTS];
} starts[] = {
    { "auto-no-device_refused", { .smmu_props = "ril=on" }, "",
      { "smmu0", "ats=auto", "oas=auto", "ssidsize=auto" } },
    { "all-auto-no-device_refused", { .smmu_props = "ril=auto" }, "",
      { "ril=auto", "no host device" } },
    { "oas_refused", { .smmu_props = "oas=43" }, "",
      { "oas=43", "auto/", "/44/", "/48" } },
    { "oas-text_refused", { .smmu_props = "oas=x" }, "", { "oas=x" } },
    /* More than the emulated SMMU can have */
    { "oas-52_refused", { .smmu_props = "oas=52" }, "", { "oas=52", "/48" } },
    { "ssidsize_refused", { .smmu_props = "ssidsize=21" }, "",
      { "ssidsize=21", "auto", "20" } },
    { "ssidsize-text_refused", { .smmu_props = "ssidsize=4x" }, "",
      { "ssidsize=4x", "auto", "20" } },
    { "cmdqv-without-device_refused",
      { .smmu_props = SMMUV3_ACCEL_FIXED ",cmdqv=on" }, "",
      { "'smmu0' has cmdqv=on, but no host device", "cmdqv=off" } },
    { "smmu-per-bus_refused", { .smmu_props = "smmu_per_bus=on" }, "",
      { "smmu0: smmu_per_bus=on is not possible", "bypass_iommu=on" } },
    { "stage-2_refused", { .smmu_props = "stage=2," SMMUV3_ACCEL_FIXED }, "",
      { "stage=2", "accel=on" } },
    { "oas-below-memory_refused",
      { .smmu_props = "ril=on,ats=on,oas=32,ssidsize=4",
        .args = "-m 64M,maxmem=8G,slots=1" }, "",
      { "smmu0", "oas=32", "guest memory ends at", "larger oas=" } },
    { "emulated-first_refused", { .smmu_props = SMMUV3_ACCEL_FIXED },
      "-device pci-testdev,bus=pcie.0", { "pci-testdev", "pcie.0", "first" } },
    { "values-without-accel_refused",
      { .smmu_props = SMMUV3_ACCEL_FIXED ",accel=off" }, "",
      { "ril=", "need accel=on" } },
};

static void test_start(const void *data)
{
    const struct Start *c = data;
    g_autofree char *args = smmuv3_accel_args(&c->setup);
    g_autofree char *cmd = NULL;
    g_autofree char *err = NULL;
    g_autoptr(GError) gerr = NULL;
    const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
    int status;

    if (!fakehost_available()) {
        return;
    }
    /* No qtest protocol: it is not to get that far */
    cmd = g_strdup_printf("exec timeout %d %s -accel qtest -nodefaults "
                          "-display none -S %s %s </dev/null",
                          QTEST_HANG_SECONDS, g_getenv("QTEST_QEMU_BINARY"),
                          c->before, args);
    argv[2] = cmd;
    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, 0, NULL, NULL, NULL,
                               &err, &status, &gerr));
    g_test_message("%s", err);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    for (size_t i = 0; i < PARTS && c->error[i]; i++) {
        g_assert_nonnull(strstr(err, c->error[i]));
    }
}

/* --- what helps depends on why the host refuses --- */

#define ONE_STREAM  "must have exactly one StreamID in the host"
#define NEEDS_FWB   "must have stage-2 forced write-back"

static const struct Hint {
    const char *name;
    const char *call;
    int err;
    const char *hint;           /* NULL: none */
} hints[] = {
    { "vdevice-unsupported_hint", "VDEVICE_ALLOC", EOPNOTSUPP, ONE_STREAM },
    { "vdevice-no-memory_no-hint", "VDEVICE_ALLOC", ENOMEM },
    { "vdevice-in-use_no-hint", "VDEVICE_ALLOC", EEXIST },
    { "viommu-unsupported_hint", "VIOMMU_ALLOC", EOPNOTSUPP, NEEDS_FWB },
    { "viommu-no-memory_no-hint", "VIOMMU_ALLOC", ENOMEM },
};

static void test_hint(const void *data)
{
    const struct Hint *c = data;
    g_autofree char *desc = NULL;
    g_autofree char *err = NULL;
    FakeHost *host;

    if (!fakehost_available()) {
        return;
    }
    desc = g_strdup_printf("iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x "
                           "idr3=0x%x idr5=0x%x\ndevice dev0 iommu=iommu0\n",
                           HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5);
    host = fakehost_new(desc);
    fakehost_fail(host, c->call, 1, 0, c->err, 0);
    g_assert_cmpint(fakehost_run(host, "-M virt,gic-version=3 -cpu cortex-a57 "
                                 "-object iommufd,id=iommufd0,fd=%d "
                                 "-device arm-smmuv3,primary-bus=pcie.0,"
                                 "accel=on," SMMUV3_ACCEL_FIXED
                                 " -device vfio-pci,id=dev0,fd=%d,bus=pcie.0,"
                                 "iommufd=iommufd0",
                                 fakehost_fd(host, "iommufd0"),
                                 fakehost_fd(host, "dev0")), ==, 1);
    err = fakehost_err_since(host, 0);
    fakehost_expect_text(err, c->call);
    g_assert_nonnull(strstr(err, strerror(c->err)));
    for (size_t i = 0; i < ARRAY_SIZE(hints); i++) {
        if (hints[i].hint) {
            g_assert_cmpint(!!strstr(err, hints[i].hint), ==,
                            c->hint == hints[i].hint);
        }
    }
    fakehost_free(host);
}

/* --- a host device and an SMMU that are not made for each other --- */

#define PORT    "-device pcie-root-port,id=rp0,bus=pcie.0,chassis=1 "
#define PXB     "-device pxb-pcie,id=pxb.0,bus=pcie.0,bus_nr=8 "
#define BYPASSING_PXB \
    "-device pxb-pcie,id=pxb.0,bus=pcie.0,bus_nr=8,bypass_iommu=on " \
    "-device pcie-root-port,id=rp0,bus=pxb.0,chassis=1 "
#define SMMU    "-device arm-smmuv3,id=smmu0,primary-bus="
#define ACCEL   ",accel=on," SMMUV3_ACCEL_FIXED " "

static const struct Order {
    const char *name;
    const char *machine;        /* more of its options */
    const char *before;         /* arguments before the host device, dev0 */
    const char *bus;            /* of dev0 */
    const char *after;          /* arguments that follow it */
    const char *error[PARTS];   /* none: accepted */
} orders[] = {
    { "device-before-smmu_refused", "", "", "pcie.0", SMMU "pcie.0" ACCEL,
      { "smmu0: host device dev0 on root complex pcie.0 is there before",
        "Put the SMMU before it" } },
    { "device-below-port-before-smmu_refused", "", PORT, "rp0",
      SMMU "pcie.0" ACCEL,
      { "smmu0: host device dev0 on root complex pcie.0 is there before",
        "Put the SMMU before it" } },
    { "device-before-smmu-of-pxb_refused", "", PXB
      "-device pcie-root-port,id=rp0,bus=pxb.0,chassis=1 ", "rp0",
      SMMU "pxb.0" ACCEL,
      { "smmu0: host device dev0 on root complex pxb.0 is there before",
        "Put the SMMU before it" } },
    { "device-on-bypassing-pxb-before-smmu_accepted", "", BYPASSING_PXB, "rp0",
      SMMU "pcie.0" ACCEL },
    { "device-on-bypassing-pxb-after-smmu_accepted", "",
      SMMU "pcie.0" ACCEL BYPASSING_PXB, "rp0", "" },
    { "device-before-smmu-without-accel_refused", "", "", "pcie.0",
      SMMU "pcie.0 ",
      { "smmu0: host device dev0 on root complex pcie.0 is there before",
        "Put the SMMU before it" } },
    { "device-behind-smmu-without-accel_refused", "",
      SMMU "pcie.0 " PORT, "rp0", "",
      { "without accel=on", "use -device arm-smmuv3 with accel=on" } },
    { "accel-of-machine's-smmu_refused", ",iommu=smmuv3",
      "-global arm-smmuv3.accel=on -global arm-smmuv3.ril=on " PORT, "rp0", "",
      { "accel=on is for", "-device arm-smmuv3", "RMR" } },
    { "device-behind-smmu-of-machine_refused", ",iommu=smmuv3", PORT, "rp0",
      "", { "without accel=on", "use -device arm-smmuv3 with accel=on" } },
};

static void test_order(const void *data)
{
    const struct Order *c = data;
    g_autofree char *desc = NULL;
    g_autofree char *args = NULL;
    g_autofree char *err = NULL;
    FakeHost *host;

    if (!fakehost_available()) {
        return;
    }
    desc = g_strdup_printf("iommu iommu0 type=smmuv3 idr0=0x%x idr1=0x%x "
                           "idr3=0x%x idr5=0x%x\ndevice dev0 iommu=iommu0\n",
                           HOST_IDR0, HOST_IDR1, HOST_IDR3, HOST_IDR5);
    host = fakehost_new(desc);
    args = g_strdup_printf("-M virt,gic-version=3%s -cpu cortex-a57 "
                           "-object iommufd,id=iommufd0,fd=%d %s "
                           "-device vfio-pci,id=dev0,fd=%d,bus=%s,"
                           "iommufd=iommufd0 %s", c->machine,
                           fakehost_fd(host, "iommufd0"), c->before,
                           fakehost_fd(host, "dev0"), c->bus, c->after);
    if (c->error[0]) {
        g_assert_cmpint(fakehost_run(host, "%s", args), ==, 1);
    } else {
        fakehost_start(host, "%s", args);
        /* Guest memory, and nothing of what the SMMU asks for */
        g_assert_cmpuint(fakehost_device(host, "dev0")->pt_id, !=, 0);
        g_assert_cmpuint(fakehost_objects(host, FAKEHOST_OBJ_VIOMMU), ==, 0);
    }
    err = fakehost_err_since(host, 0);
    g_test_message("%s", err);
    for (size_t i = 0; i < PARTS && c->error[i]; i++) {
        g_assert_nonnull(strstr(err, c->error[i]));
    }
    fakehost_free(host);
}

/* --- the rest --- */

static void test_migration_blocked(void)
{
    Smmuv3AccelSetup setup = { 0 };
    g_autofree char *error = NULL;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    error = fakehost_migrate_error(t.host, "exec:cat >/dev/null");
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error, "arm-smmuv3 with accel=on"));
    fakehost_free(t.host);
}

static void test_described(void)
{
    Smmuv3AccelSetup setup = { .cold = 1 };
    g_autofree char *text = NULL;
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    smmuv3_accel_bind(&t, 0);
    text = qtest_hmp(t.host->qts, "info qtree");
    g_assert_nonnull(strstr(text, "host-devices = "));
    g_assert_nonnull(strstr(text, "StreamID 0x100, stage 1 (STE 0x5000000b"));
    fakehost_free(t.host);
}

/* What a management layer finds out: the values, and which of them is set */
static void test_values(void)
{
    Smmuv3AccelSetup setup = {
        .cold = 1, .smmu_props = "oas=44,ssidsize=4,ril=on",
    };
    static const char *const values[][2] = {
        { "oas", "44" }, { "ssidsize", "4" }, { "ril", "on" },
        { "ats", "auto" },
    };
    Smmuv3AccelTest t;

    if (!smmuv3_accel_start(&t, &setup)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        QDict *resp = qtest_qmp(t.host->qts, "{ 'execute': 'qom-get',"
                                " 'arguments': {"
                                " 'path': '/machine/peripheral/smmu0',"
                                " 'property': %s } }", values[i][0]);

        g_assert_cmpstr(qdict_get_try_str(resp, "return"), ==, values[i][1]);
        qobject_unref(resp);
    }
    fakehost_free(t.host);
}

static void test_help(void)
{
    static const char *const parts[] = {
        "oas=<OasMode>", "auto/32/36/40/42/44/48",
        "ssidsize=<SsidSizeMode>", "auto, or 0 to 20",
        "smmu_per_bus=<bool>", "cmdqv=<OnOffAuto>",
    };
    g_autofree char *cmd = NULL;
    g_autofree char *out = NULL;

    cmd = g_strdup_printf("%s -M virt -device arm-smmuv3,help",
                          g_getenv("QTEST_QEMU_BINARY"));
    g_assert_true(g_spawn_command_line_sync(cmd, &out, NULL, NULL, NULL));
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        g_assert_nonnull(strstr(out, parts[i]));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/smmuv3-accel/realize", cases, test_realize);
    qtest_add_cases("/smmuv3-accel/told", told, test_told);
    qtest_add_data_func("/smmuv3-accel/told/auto-ats-first_as-host", "1",
                        test_ats_order);
    qtest_add_data_func("/smmuv3-accel/told/auto-no-ats-first_as-host", "0",
                        test_ats_order);
    qtest_add_cases("/smmuv3-accel/start", starts, test_start);
    qtest_add_cases("/smmuv3-accel/start", hints, test_hint);
    qtest_add_cases("/smmuv3-accel/start", orders, test_order);
    qtest_add_func("/smmuv3-accel/later/two-host-smmus_refused",
                   test_two_host_smmus);
    qtest_add_cases("/smmuv3-accel/later/frozen", frozen, test_frozen);
    qtest_add_func("/smmuv3-accel/later/two-iommufds_refused",
                   test_two_iommufds);
    qtest_add_func("/smmuv3-accel/later/50-rounds_nothing-left",
                   test_replug_50);
    qtest_add_func("/smmuv3-accel/realize/two-host-streams_refused",
                   test_two_streams);
    qtest_add_func("/smmuv3-accel/realize/emulated_refused", test_emulated);
    qtest_add_func("/smmuv3-accel/pasids_smaller-width", test_pasids);
    qtest_add_func("/smmuv3-accel/migration_blocked", test_migration_blocked);
    qtest_add_func("/smmuv3-accel/qtree_described", test_described);
    qtest_add_func("/smmuv3-accel/values_readable", test_values);
    qtest_add_func("/smmuv3-accel/help_values", test_help);
    return g_test_run();
}
