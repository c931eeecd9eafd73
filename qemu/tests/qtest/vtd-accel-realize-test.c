/*
 * QTest: which host devices the accelerated VT-d takes, and how it says no
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/i386/intel_iommu_internal.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "vtd-accel-common.h"

#define PARTS           6

typedef struct Case {
    const char *name;
    const char *what;
    VtdAccelSetup setup;
    const char *props;              /* of vfio-pci; NULL: WITH_IOMMUFD */
    const char *error[PARTS];       /* what the error names; none: accepted */
} Case;

static const Case cases[] = {
    {
        "full-host_accepted",
        "a host that can do everything",
    }, {
        "property-aliases_accepted",
        "scalable-mode and fsts are other names of the same properties",
        .setup.iommu_props = "scalable-mode=on,fsts=on",
    }, {
        "caching-mode-on_accepted",
        "caching-mode=on is what x-flts=on implies anyway",
        .setup.iommu_props = VTD_ACCEL_PROPS ",caching-mode=on",
    }, {
        "host-without-nesting_refused",
        "the host's ECAP.NEST is needed",
        .setup.ecap = HOST_ECAP & ~HOST_ECAP_NEST,
        .error = { "NEST", "0", "1" },
    }, {
        "host-without-scalable-mode_refused",
        "the host's ECAP.SMTS is needed",
        .setup.ecap = HOST_ECAP & ~HOST_ECAP_SMTS,
        .error = { "scalable mode", "0", "1" },
    }, {
        "host-without-1g-pages_refused",
        "1-GiB first-stage pages are advertised, so the host has to walk them",
        .setup.cap = HOST_CAP & ~HOST_CAP_FS1GP,
        .error = { "FS1GP", "0", "1", "fs1gp=off" },
    }, {
        "host-without-1g-pages_not-advertised_accepted",
        "without fs1gp the host need not have it",
        .setup.cap = HOST_CAP & ~HOST_CAP_FS1GP,
        .setup.iommu_props = VTD_ACCEL_PROPS ",fs1gp=off",
    }, {
        "host-without-5-levels_refused",
        "5-level tables are advertised, so the host has to walk them",
        .setup.iommu_props = VTD_ACCEL_PROPS ",aw-bits=57",
        .error = { "FS5LP", "0", "1", "aw-bits=48" },
    }, {
        "host-with-5-levels_accepted",
        "the host's second stage may be narrower than input addresses",
        .setup.iommu_props = VTD_ACCEL_PROPS ",aw-bits=57",
        .setup.cap = HOST_CAP | HOST_CAP_FS5LP,
    }, {
        "host-39-bits_refused",
        "the host's second stage is narrower than guest addresses",
        .setup.cap = (HOST_CAP & ~(HOST_CAP_SAGAW_48 | HOST_CAP_MGAW(64))) |
                     HOST_CAP_MGAW(39),
        .error = { "48", "39" },
    }, {
        "host-without-iommu-info_refused",
        "a host IOMMU that is not VT-d",
        .setup.host_type = "none",
        .error = { "VT-d", "type" },
    }, {
        "snoop-control-host-without_refused",
        "snoop control is advertised, so the host has to have it",
        .setup.iommu_props = VTD_ACCEL_PROPS ",snoop-control=on",
        .setup.ecap = HOST_ECAP & ~HOST_ECAP_SC,
        .error = { "snoop control", "ECAP.SC", "0", "1", "snoop-control=off" },
    }, {
        "snoop-control_accepted",
        "a host that has it",
        .setup.iommu_props = VTD_ACCEL_PROPS ",snoop-control=on",
    }, {
        "snoop-control-not-advertised_accepted",
        "without the promise the host need not have it",
        .setup.ecap = HOST_ECAP & ~HOST_ECAP_SC,
    }, {
        "host-booted-without-scalable-mode_refused",
        "the registers tell what the host could do, its kernel does not",
        .setup.iommu_options = "sm=0",
        .error = { "nesting parent", "intel_iommu=on,sm_on" },
    }, {
        "caching-mode-off_refused",
        "without caching mode new entries would never be seen",
        .setup.iommu_props = VTD_ACCEL_PROPS ",caching-mode=off",
        .error = { "x-flts=on", "remove caching-mode=off" },
    }, {
        "legacy-container_refused",
        "the legacy container cannot nest: the error says what to add",
        .props = "",
        .error = { "iommufd" },
    },
};

/* The vIOMMU's capabilities are fixed when it is realized, devices or not */
static void check_advertised(VtdAccelTest *t, const Case *c)
{
    bool off = c->setup.iommu_props && strstr(c->setup.iommu_props,
                                              "caching-mode=off");

    g_assert_cmpint(!!(vtd_guest_readq(&t->guest, DMAR_CAP_REG) & VTD_CAP_CM),
                    ==, !off);
}

static void check_alive(VtdAccelTest *t)
{
    qtest_qmp_assert_success(t->host->qts, "{ 'execute': 'query-status' }");
}

static void test_realize(const void *data)
{
    const Case *c = data;
    g_autofree char *error = NULL;
    VtdAccelTest t;

    g_test_message("%s", c->what);
    if (!vtd_accel_start(&t, &c->setup)) {
        return;
    }
    check_advertised(&t, c);
    error = fakehost_try_plug(t.host, 0, c->props ?: WITH_IOMMUFD);
    if (!c->error[0]) {
        g_assert_cmpstr(error, ==, NULL);
        vtd_accel_expect_s2(&t, 0);
        g_assert_cmpuint(fakehost_objects(t.host, FAKEHOST_OBJ_IOAS), ==, 1);
        fakehost_unplug(t.host, 0);
    } else {
        g_assert_nonnull(error);
        g_test_message("error: %s", error);
        for (size_t i = 0; i < PARTS && c->error[i]; i++) {
            g_assert_nonnull(strstr(error, c->error[i]));
        }
    }
    check_alive(&t);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* A refused device does not spoil the next one */
static void test_refused_then_accepted(void)
{
    VtdAccelSetup setup = { 0 };
    g_autofree char *error = NULL;
    VtdAccelTest t;

    if (!vtd_accel_start(&t, &setup)) {
        return;
    }
    error = fakehost_try_plug(t.host, 0, "");
    g_assert_nonnull(error);
    fakehost_plug(t.host, 0);
    vtd_accel_expect_s2(&t, 0);
    fakehost_unplug(t.host, 0);
    fakehost_expect_empty(t.host);
    fakehost_free(t.host);
}

/* Without a vIOMMU nothing of this applies */
static void test_no_viommu(void)
{
    g_autofree char *description = NULL;
    g_autofree char *error = NULL;
    FakeHost *host;

    if (!fakehost_available()) {
        return;
    }
    description = g_strdup_printf("iommu i type=vtd cap=0x%" PRIx64
                                  " ecap=0x%" PRIx64 "\ndevice dev0 iommu=i\n",
                                  (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP);
    host = fakehost_new(description);
    fakehost_start(host, "-M q35 -m 64M -object iommufd,id=iommufd0,fd=%d "
                   "-device vfio-pci,fd=%d,iommufd=iommufd0",
                   fakehost_fd(host, "iommufd0"), fakehost_fd(host, "dev0"));
    g_assert_cmpuint(fakehost_device(host, "dev0")->pt_id, !=, 0);
    g_assert_cmpuint(host->page->mapped_bytes, >=, 64 * 1024 * 1024);
    fakehost_reset(host);
    g_assert_cmpuint(fakehost_device(host, "dev0")->resets, !=, 0);
    fakehost_free(host);
}

/*
 * caching-mode= in every form in which users and management software give a
 * boolean
 */

typedef struct Form {
    const char *name;
    const char *args;
    bool cm;                        /* what the guest is told */
} Form;

#define JSON(props)     "-device '{\"driver\": \"intel-iommu\"" props "}'"
#define JSON_FLTS       ", \"x-scalable-mode\": true, \"x-flts\": true"
#define KEYVAL(props)   "-device intel-iommu" props

static const Form forms[] = {
    { "not-given", KEYVAL(""), false },
    { "on", KEYVAL(",caching-mode=on"), true },
    { "true", KEYVAL(",caching-mode=true"), true },
    { "yes", KEYVAL(",caching-mode=yes"), true },
    { "name-alone", KEYVAL(",caching-mode"), true },
    { "off", KEYVAL(",caching-mode=off"), false },
    { "no", KEYVAL(",caching-mode=no"), false },
    { "false", KEYVAL(",caching-mode=false"), false },
    { "global", "-global intel-iommu.caching-mode=on " KEYVAL(""), true },
    { "json-true", JSON(", \"caching-mode\": true"), true },
    { "json-false", JSON(", \"caching-mode\": false"), false },
    { "flts_not-given", JSON(JSON_FLTS), true },
    { "flts_json-true", JSON(JSON_FLTS ", \"caching-mode\": true"), true },
    { "flts_json-false", JSON(JSON_FLTS ", \"caching-mode\": false"), false },
    { "flts_before", KEYVAL(",caching-mode=no," VTD_ACCEL_PROPS), false },
    { "flts_after", KEYVAL("," VTD_ACCEL_PROPS ",caching-mode=no"), false },
    { "flts_global", "-global intel-iommu.caching-mode=off "
      KEYVAL("," VTD_ACCEL_PROPS), false },
};

static void test_caching_mode(const void *data)
{
    const Form *form = data;
    QTestState *qts = qtest_initf("-M q35 -nodefaults %s", form->args);
    uint64_t cap = qtest_readq(qts, Q35_HOST_BRIDGE_IOMMU_ADDR + DMAR_CAP_REG);

    g_assert_cmpint(!!(cap & VTD_CAP_CM), ==, form->cm);
    qtest_quit(qts);
}

/* Its type and its default are public, too */
static void test_caching_mode_type(void)
{
    QTestState *qts = qtest_init("-M none");
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'device-list-properties',"
                           " 'arguments': { 'typename': 'intel-iommu' } }");
    QListEntry *entry;
    bool found = false;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), entry) {
        QDict *prop = qobject_to(QDict, qlist_entry_obj(entry));

        if (!strcmp(qdict_get_str(prop, "name"), "caching-mode")) {
            g_assert_cmpstr(qdict_get_str(prop, "type"), ==, "bool");
            g_assert_false(qdict_get_bool(prop, "default-value"));
            found = true;
        }
    }
    g_assert_true(found);
    qobject_unref(rsp);
    qtest_quit(qts);
}

/* --- starts that are refused with advice --- */

typedef struct Start {
    const char *name;
    const char *args;
    const char *error[PARTS];
} Start;

static const Start starts[] = {
    { "old-machine_refused", "-M pc-q35-9.1 " KEYVAL("," VTD_ACCEL_PROPS),
      { "aw-bits", "39", "machine types up to 9.1", "add aw-bits=48" } },
    { "narrow_refused", "-M q35 " KEYVAL("," VTD_ACCEL_PROPS ",aw-bits=39"),
      { "aw-bits", "39", "add aw-bits=48" } },
    { "x-pasid-mode-and-device-iotlb_refused",
      "-M q35 " KEYVAL("," VTD_ACCEL_PROPS
                       ",x-pasid-mode=on,device-iotlb=on"),
      { "PASID based device IOTLB" } },
    { "pasid-bits-and-device-iotlb_refused",
      "-M q35 " KEYVAL("," VTD_ACCEL_PROPS ",pasid-bits=8,device-iotlb=on"),
      { "PASID based device IOTLB" } },
    { "max-host-domains-0_refused",
      "-M q35 " KEYVAL("," VTD_ACCEL_PROPS ",max-host-domains=0"),
      { "max-host-domains=0", "between 1 and 65536" } },
    { "max-host-domains-65537_refused",
      "-M q35 " KEYVAL("," VTD_ACCEL_PROPS ",max-host-domains=65537"),
      { "max-host-domains=65537", "between 1 and 65536" } },
};

static void test_start(const void *data)
{
    const Start *c = data;
    FakeHost *host;
    g_autofree char *err = NULL;

    if (!fakehost_available()) {
        return;
    }
    host = fakehost_new("iommu i type=none\ndevice dev0 iommu=i\n");
    g_assert_cmpint(fakehost_run(host, "%s", c->args), ==, 1);
    err = fakehost_err_since(host, 0);
    g_test_message("%s", err);
    for (size_t i = 0; i < PARTS && c->error[i]; i++) {
        g_assert_nonnull(strstr(err, c->error[i]));
    }
    fakehost_free(host);
}

/* With the advice followed it starts */
static void test_old_machine(void)
{
    QTestState *qts = qtest_init("-M pc-q35-9.1 -nodefaults "
                                 "-device intel-iommu," VTD_ACCEL_PROPS
                                 ",aw-bits=48");

    g_assert_true(qtest_readq(qts, Q35_HOST_BRIDGE_IOMMU_ADDR + DMAR_CAP_REG) &
                  VTD_CAP_CM);
    qtest_quit(qts);
}

/* --- devices that need to know each mapping --- */

/* Registers of pasid-testdev */
#define FOLLOW_COMMAND  0x14
#define FOLLOW          3
#define FOLLOW_RESULT   0x18
#define FOLLOW_BDF      (9 << 3)
#define FOLLOW_BAR      0xe0000000u

typedef struct Follow {
    const char *name;
    const char *props;              /* of intel-iommu */
    const char *error;              /* NULL: accepted */
} Follow;

static const Follow follows[] = {
    { "shadowing_accepted", "caching-mode=on", NULL },
    { "no-caching-mode_refused", "caching-mode=off", "requires caching mode" },
    { "flts_refused", VTD_ACCEL_PROPS, "not possible with x-flts=on" },
    { "flts-caching-mode_refused", VTD_ACCEL_PROPS ",caching-mode=on",
      "not possible with x-flts=on" },
    { "nested_refused", VTD_ACCEL_PROPS ",x-nested=on",
      "not possible with x-flts=on" },
};

static void test_follow(const void *data)
{
    const Follow *c = data;
    g_autofree char *err = NULL;
    uint32_t result;
    VtdAccelTest t = { 0 };

    if (!fakehost_available()) {
        return;
    }
    t.host = fakehost_new("iommu i type=none\n");
    fakehost_start(t.host, "-M q35 -m 64M -device intel-iommu,%s "
                   "-device pasid-testdev,addr=9", c->props);
    fakehost_cfg_writel(t.host, FOLLOW_BDF, PCI_BASE_ADDRESS_0, FOLLOW_BAR);
    fakehost_cfg_writew(t.host, FOLLOW_BDF, PCI_COMMAND, PCI_COMMAND_MEMORY);
    qtest_writel(t.host->qts, FOLLOW_BAR + FOLLOW_COMMAND, FOLLOW);
    result = qtest_readl(t.host->qts, FOLLOW_BAR + FOLLOW_RESULT);
    err = fakehost_err_since(t.host, 0);
    g_test_message("%s", err);
    g_assert_cmpuint(result, ==, !!c->error);
    if (c->error) {
        g_assert_nonnull(strstr(err, c->error));
    }
    fakehost_free(t.host);
}

/* --- host devices that are there before the vIOMMU --- */

typedef struct Order {
    const char *name;
    const char *props;              /* of the host device, dev0 */
    const char *machine;            /* more of its options */
    bool json;                      /* the vIOMMU is given as JSON */
    bool plain;                     /* without first stage */
    const char *says[PARTS];        /* an error, or a warning if plain */
    bool alive;                     /* QEMU starts */
} Order;

#define PXB(props) \
    "-device pxb-pcie,id=x,bus_nr=0x40,addr=0x18" props " " \
    "-device pcie-root-port,id=rp0,bus=x,addr=0,chassis=30 "
#define EARLY { "iommu0: host device dev0 on root complex pcie.0 is there " \
                "before its intel-iommu", "Put the intel-iommu before it" }

static const Order orders[] = {
    { "first", ",bus=pcie.0", .says = EARLY },
    { "first-as-json-decides", ",bus=pcie.0", .json = true, .says = EARLY },
    { "first-on-pxb", ",bus=rp0", .machine = PXB(""), .says = {
        "host device dev0 on root complex pcie.0 is there before" } },
    { "first-on-bypassing-pxb", ",bus=rp0", .machine = PXB(",bypass_iommu=on"),
      .alive = true },
    { "first-on-bypassing-root", ",bus=pcie.0",
      .machine = "-M default-bus-bypass-iommu=on ", .alive = true },
    { "first-without-flts_warned", ",bus=pcie.0", .plain = true, .says = EARLY,
      .alive = true },
};

static void test_order(const void *data)
{
    const Order *c = data;
    const char *keyval = c->plain ? "-device intel-iommu,id=iommu0,"
                                    "caching-mode=on" :
                         "-device intel-iommu,id=iommu0," VTD_ACCEL_PROPS;
    g_autofree char *description = NULL;
    g_autofree char *device = NULL;
    g_autofree char *err = NULL;
    FakeHost *host;

    if (!fakehost_available()) {
        return;
    }
    description = g_strdup_printf("iommu i type=vtd cap=0x%" PRIx64
                                  " ecap=0x%" PRIx64 "\ndevice dev0 iommu=i\n",
                                  (uint64_t)HOST_CAP, (uint64_t)HOST_ECAP);
    host = fakehost_new(description);
    device = g_strdup_printf("-object iommufd,id=iommufd0,fd=%d "
                             "-device vfio-pci,id=dev0,fd=%d,iommufd=iommufd0%s",
                             fakehost_fd(host, "iommufd0"),
                             fakehost_fd(host, "dev0"), c->props);
    if (c->json) {
        keyval = JSON(", \"id\": \"iommu0\"" JSON_FLTS);
    }
    /* In JSON the vIOMMU comes first, and is made last */
    if (c->alive) {
        fakehost_start(host, "-M q35 -m 64M %s %s %s", c->machine ?: "", device,
                       keyval);
        g_assert_cmpuint(fakehost_device(host, "dev0")->pt_id, !=, 0);
        qtest_qmp_assert_success(host->qts, "{ 'execute': 'query-status' }");
    } else {
        g_assert_cmpint(fakehost_run(host, "-M q35 -m 64M %s %s %s",
                                     c->machine ?: "",
                                     c->json ? keyval : device,
                                     c->json ? device : keyval), ==, 1);
    }
    err = fakehost_err_since(host, 0);
    g_test_message("%s", err);
    for (size_t i = 0; i < PARTS && c->says[i]; i++) {
        g_assert_nonnull(strstr(err, c->says[i]));
    }
    if (!c->says[0]) {
        g_assert_null(strstr(err, "is there before"));
    }
    fakehost_free(host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    qtest_add_cases("/vtd-accel/realize", cases, test_realize);
    qtest_add_cases("/vtd-accel/caching-mode", forms, test_caching_mode);
    qtest_add_func("/vtd-accel/caching-mode/type-as-in-base",
                   test_caching_mode_type);
    qtest_add_cases("/vtd-accel/start", starts, test_start);
    qtest_add_func("/vtd-accel/start/old-machine-with-aw-bits_accepted",
                   test_old_machine);
    qtest_add_cases("/vtd-accel/follow", follows, test_follow);
    qtest_add_cases("/vtd-accel/order", orders, test_order);
    qtest_add_func("/vtd-accel/realize/refused_then-correct_accepted",
                   test_refused_then_accepted);
    qtest_add_func("/vtd-accel/realize/no-viommu_accepted", test_no_viommu);
    return g_test_run();
}
