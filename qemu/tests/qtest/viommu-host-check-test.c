/*
 * Test of viommu-host-check, on made-up hosts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "contrib/viommu-host-check/host-check.h"

#define ADDRESS     "0000:01:00.0"
#define PEER        "0000:01:00.1"
#define DEVICES     "/sys/bus/pci/devices/"

/* What a VT-d that can nest says of itself */
#define CAP         0x01400c405e2f0e86ULL   /* FS1GP, 48 bits */
#define ECAP        0x0000c80804f050daULL   /* NEST, SMTS, SSTS, FSTS */

#define CONFIG      "CONFIG_IOMMUFD=y\nCONFIG_VFIO_DEVICE_CDEV=y\n"

typedef struct Host {
    const char *name;
    const char *config;     /* of the kernel; NULL: not to be read */
    bool config_in_lib;     /* beside its modules, not in /boot */
    const char *cmdline;
    const char *iommu;      /* name in sysfs; NULL: none */
    uint64_t cap, ecap;
    const char *driver;     /* NULL: none */
    const char *peer;       /* driver of another device of the group */
    bool peer_bridge;
    const char *reserved;   /* regions of the group */
    bool no_cdev;
    bool no_iommufd;
    const char *program;    /* in /usr/bin; NULL: none */
    const char *qemu;       /* what the command line begins with */
    HostVerdict verdict;
    const char *what;       /* part of a problem; NULL: there is none */
    const char *remedy;     /* of the same problem; NULL: none */
} Host;

static const Host hosts[] = {
    {
        .name = "vtd/nothing-in-the-way", .config = CONFIG,
        .cmdline = "quiet intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_UNKNOWN,
    }, {
        .name = "vtd/sm-by-default", .cmdline = "quiet", .iommu = "dmar0",
        .config = CONFIG "CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON=y\n",
        .cap = CAP, .ecap = ECAP, .driver = "vfio-pci",
        .verdict = VERDICT_UNKNOWN,
    }, {
        .name = "vtd/legacy-mode", .config = CONFIG,
        .cmdline = "intel_iommu=on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_MENDABLE,
        .what = "runs VT-d in legacy mode", .remedy = "sm_on",
    }, {
        .name = "vtd/sm-off-is-last", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on intel_iommu=sm_off", .iommu = "dmar0",
        .cap = CAP, .ecap = ECAP, .driver = "vfio-pci",
        .verdict = VERDICT_MENDABLE, .what = "runs VT-d in legacy mode",
        .remedy = "sm_on",
    }, {
        .name = "vtd/maybe-legacy-mode", .cmdline = "", .iommu = "dmar0",
        .cap = CAP, .ecap = ECAP, .driver = "vfio-pci",
        .verdict = VERDICT_UNKNOWN, .what = "may run VT-d in legacy mode",
        .remedy = "sm_on",
    }, {
        .name = "vtd/no-nesting", .config = CONFIG,
        .cmdline = "intel_iommu=sm_on,on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP & ~(1ULL << 26), .driver = "vfio-pci",
        .verdict = VERDICT_IMPOSSIBLE, .what = "dmar0 has no nested",
    }, {
        .name = "vtd/39-bits", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0",
        .cap = (CAP & ~(0x3fULL << 16)) | 38ULL << 16, .ecap = ECAP,
        .driver = "vfio-pci", .verdict = VERDICT_IMPOSSIBLE,
        .what = "39 bits, 48 are needed",
    }, {
        .name = "vtd/other-driver", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "nvme", .verdict = VERDICT_MENDABLE,
        .what = "bound to nvme, not to vfio-pci; the host loses it",
        .remedy = "modprobe vfio-pci; echo vfio-pci > "
        DEVICES ADDRESS "/driver_override; echo " ADDRESS " > "
        DEVICES ADDRESS "/driver/unbind; echo " ADDRESS " > /sys/bus/pci/",
    }, {
        .name = "vtd/no-driver", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .verdict = VERDICT_MENDABLE,
        .what = "bound to no driver",
        .remedy = DEVICES ADDRESS "/driver_override; echo " ADDRESS
        " > /sys/bus/pci/drivers_probe",
    }, {
        .name = "vtd/group-in-use", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .peer = "snd_hda_intel",
        .verdict = VERDICT_MENDABLE,
        .what = PEER ", in the same IOMMU group 7, is in use by snd_hda_intel",
        .remedy = "echo " PEER " > ",
    }, {
        .name = "vtd/group-with-bridge", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .peer = "pcieport",
        .peer_bridge = true, .verdict = VERDICT_UNKNOWN,
    }, {
        .name = "vtd/group-with-isa-bridge", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .peer = "lpc_ich",
        .peer_bridge = true, .verdict = VERDICT_MENDABLE,
        .what = "is in use by lpc_ich", .remedy = "echo " PEER,
    }, {
        .name = "vtd/group-with-stub", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .peer = "pci-stub",
        .verdict = VERDICT_UNKNOWN,
    }, {
        .name = "vtd/group-with-vfio", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .peer = "vfio-pci",
        .verdict = VERDICT_UNKNOWN,
    }, {
        .name = "vtd/group-with-vfio-variant", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .peer = "mlx5_vfio_pci",
        .verdict = VERDICT_UNKNOWN,
    }, {
        .name = "vtd/mapped-by-firmware", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_IMPOSSIBLE,
        .reserved = "0x0000000079180000 0x0000000079191fff direct\n"
        "0x00000000fee00000 0x00000000feefffff msi\n",
        .what = "mapped 1:1 for it (0x0000000079180000 0x0000000079191fff",
    }, {
        .name = "vtd/mapped-by-firmware-until-used", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_UNKNOWN,
        .reserved = "0x000000007b800000 0x000000007fffffff direct-relaxable\n"
        "0x00000000fee00000 0x00000000feefffff msi\n",
    }, {
        .name = "vtd/vfio-variant", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "mlx5_vfio_pci", .verdict = VERDICT_UNKNOWN,
    }, {
        .name = "vtd/vfio-variant-no-cdev", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "mlx5_vfio_pci", .no_cdev = true,
        .verdict = VERDICT_MENDABLE,
        .what = "mlx5_vfio_pci gives it no device file",
        .remedy = "install a kernel",
    }, {
        .name = "vtd/package", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_UNKNOWN,
        .program = "qemu-system-x86_64-viommu",
        .qemu = "qemu-system-x86_64-viommu",
    }, {
        .name = "vtd/package-of-arm", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_UNKNOWN,
        .program = "qemu-system-aarch64-viommu", .qemu = "qemu-system-x86_64",
    }, {
        .name = "vtd/no-cdev", .config = CONFIG,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .no_cdev = true,
        .verdict = VERDICT_MENDABLE, .what = "gives it no device file",
        .remedy = "install a kernel",
    }, {
        .name = "kernel/no-iommufd", .config = "CONFIG_VFIO_DEVICE_CDEV=y\n"
        "# CONFIG_IOMMUFD is not set\n", .no_iommufd = true,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_MENDABLE,
        .what = "no CONFIG_IOMMUFD", .remedy = "install a kernel",
    }, {
        .name = "kernel/no-iommufd-says-lib", .config_in_lib = true,
        .config = "CONFIG_VFIO_DEVICE_CDEV=y\n", .no_iommufd = true,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_MENDABLE,
        .what = "no CONFIG_IOMMUFD", .remedy = "install a kernel",
    }, {
        .name = "kernel/iommufd-not-loaded", .config = "CONFIG_IOMMUFD=m\n"
        "CONFIG_VFIO_DEVICE_CDEV=y\n", .no_iommufd = true,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_MENDABLE,
        .what = "/dev/iommu does not exist", .remedy = "modprobe iommufd",
    }, {
        .name = "kernel/maybe-iommufd-not-loaded", .no_iommufd = true,
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .verdict = VERDICT_UNKNOWN,
        .what = "/dev/iommu does not exist", .remedy = "modprobe iommufd",
    }, {
        .name = "smmuv3/nothing-in-the-way", .cmdline = "",
        .config = CONFIG "CONFIG_ARM_SMMU_V3_IOMMUFD=y\n",
        .iommu = "smmu3.0x0000000009050000", .driver = "vfio-pci",
        .verdict = VERDICT_UNKNOWN,
    }, {
        .name = "smmuv3/package", .cmdline = "",
        .config = CONFIG "CONFIG_ARM_SMMU_V3_IOMMUFD=y\n",
        .iommu = "smmu3.0x0000000009050000", .driver = "vfio-pci",
        .verdict = VERDICT_UNKNOWN, .program = "qemu-system-aarch64-viommu",
        .qemu = "qemu-system-aarch64-viommu",
    }, {
        .name = "smmuv3/no-option", .config = CONFIG, .cmdline = "",
        .iommu = "smmu3.0x0000000009050000", .driver = "vfio-pci",
        .verdict = VERDICT_MENDABLE,
        .what = "no CONFIG_ARM_SMMU_V3_IOMMUFD", .remedy = "install a kernel",
    }, {
        .name = "other/amd", .config = CONFIG, .cmdline = "",
        .iommu = "ivhd0", .driver = "vfio-pci", .verdict = VERDICT_IMPOSSIBLE,
        .what = "(ivhd0) is neither VT-d nor an SMMUv3",
    }, {
        .name = "none/no-iommu", .config = CONFIG, .cmdline = "",
        .driver = "nvme", .verdict = VERDICT_UNKNOWN, .what = "has no IOMMU",
        .remedy = "firmware",
    }, {
        /* As Debian's: a kernel that has it all may be of no use */
        .name = "none/no-iommu-no-iommufd", .config = "CONFIG_VFIO=m\n",
        .cmdline = "", .driver = "nvme", .no_iommufd = true,
        .verdict = VERDICT_UNKNOWN, .what = "no CONFIG_IOMMUFD",
        .remedy = "install a kernel",
    },
};

static void put(const char *root, const char *name, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

static void put(const char *root, const char *name, const char *fmt, ...)
{
    g_autofree char *path = g_build_filename(root, name, NULL);
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A link of a device, to where only its last part matters */
static void put_link(const char *root, const char *address, const char *name,
                     const char *target)
{
    g_autofree char *dir = g_build_filename(root, "sys/bus/pci/devices",
                                            address, NULL);
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *to = g_build_filename("..", "..", target, NULL);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_cmpint(symlink(to, path), ==, 0);
}

static void put_device(const char *root, const Host *h, const char *address,
                       const char *class, const char *driver)
{
    g_autofree char *member =
        g_strdup_printf("sys/kernel/iommu_groups/7/devices/%s", address);
    g_autofree char *file = g_strdup_printf("sys/bus/pci/devices/%s/class",
                                            address);

    put(root, file, "%s\n", class);
    if (driver) {
        put_link(root, address, "driver", driver);
    }
    if (driver && strstr(driver, "vfio")) {
        g_autofree char *vfio =
            g_strdup_printf("sys/bus/pci/devices/%s/vfio-dev/vfio0/%s", address,
                            h->no_cdev ? "uevent" : "dev");

        put(root, vfio, "511:0\n");
    }
    if (h->iommu) {
        put_link(root, address, "iommu", h->iommu);
        put_link(root, address, "iommu_group", "7");
        put(root, member, "%s", "");
    }
}

static void put_host(const char *root, const Host *h)
{
    put(root, "proc/sys/kernel/osrelease", "7.3.0\n");
    put(root, "proc/cmdline", "%s\n", h->cmdline);
    if (h->config) {
        put(root, h->config_in_lib ? "lib/modules/7.3.0/config" :
            "boot/config-7.3.0", "%s", h->config);
    }
    if (!h->no_iommufd) {
        put(root, "dev/iommu", "%s", "");
    }
    if (h->cap) {
        put(root, "sys/class/iommu/dmar0/intel-iommu/cap", "%" PRIx64 "\n",
            h->cap);
        put(root, "sys/class/iommu/dmar0/intel-iommu/ecap", "%" PRIx64 "\n",
            h->ecap);
    }
    put_device(root, h, ADDRESS, "0x010802", h->driver);
    put(root, "sys/bus/pci/devices/" ADDRESS "/vendor", "0x1b36\n");
    put(root, "sys/bus/pci/devices/" ADDRESS "/device", "0x0010\n");
    if (h->program) {
        g_autofree char *name = g_build_filename("usr/bin", h->program, NULL);
        g_autofree char *path = g_build_filename(root, name, NULL);

        put(root, name, "%s", "");
        g_assert_cmpint(g_chmod(path, 0755), ==, 0);
    }
    if (h->reserved) {
        put(root, "sys/kernel/iommu_groups/7/reserved_regions", "%s",
            h->reserved);
    }
    if (h->peer) {
        put_device(root, h, PEER, h->peer_bridge ? "0x060400" : "0x040300",
                   h->peer);
    }
}

static bool has_problem(const GPtrArray *problems, const Host *h)
{
    for (guint i = 0; i < problems->len; i++) {
        HostProblem *problem = g_ptr_array_index(problems, i);

        if (strstr(problem->what, h->what)) {
            g_assert_true(!h->remedy == !problem->remedy);
            g_assert_true(!h->remedy || strstr(problem->remedy, h->remedy));
            return true;
        }
    }
    return false;
}

static void remove_tree(const char *path)
{
    GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL :
                g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        remove_tree(child);
    }
    if (dir) {
        g_dir_close(dir);
    }
    g_remove(path);
}

static void test_host(gconstpointer opaque)
{
    const Host *h = opaque;
    g_autofree char *root = g_dir_make_tmp("host-check-XXXXXX", NULL);
    g_autoptr(GPtrArray) devices = NULL;
    HostState *host;
    HostDevice *dev;

    put_host(root, h);
    host = host_read(root);
    devices = host_read_devices(root, host);

    g_assert_cmpuint(devices->len, ==, 1 + (h->peer && !h->peer_bridge));
    dev = g_ptr_array_index(devices, 0);
    g_assert_cmpstr(dev->address, ==, ADDRESS);
    g_assert_cmpstr(dev->ids, ==, "1b36:0010");
    g_assert_cmpint(host_verdict(host, dev), ==, h->verdict);
    g_assert_cmpint(dev->packaged, ==, h->qemu && g_str_has_suffix(h->qemu,
                                                                   "-viommu"));
    if (h->qemu) {
        g_assert_cmpstr(dev->qemu, ==, h->qemu);
    }
    if (h->what) {
        g_assert_true(has_problem(host->problems, h) ||
                      has_problem(dev->problems, h));
    } else {
        g_assert_cmpuint(host->problems->len + dev->problems->len, ==, 0);
    }
    host_free(host);
    remove_tree(root);
}

/* What the kernel answers counts more than what could not be read */
static void test_doubts(void)
{
    static const Host h = {
        .cmdline = "", .iommu = "dmar0", .cap = CAP, .ecap = ECAP,
        .driver = "vfio-pci",
    };
    g_autofree char *root = g_dir_make_tmp("host-check-XXXXXX", NULL);
    g_autoptr(GPtrArray) devices = NULL;
    HostState *host;
    HostDevice *dev;

    put_host(root, &h);
    host = host_read(root);
    devices = host_read_devices(root, host);
    dev = g_ptr_array_index(devices, 0);
    g_assert_cmpuint(dev->problems->len, ==, 1);
    host_add_problem(dev->problems, false, NULL, "one that is certain");
    dev->probed = true;
    g_assert_cmpint(host_verdict(host, dev), ==, VERDICT_IMPOSSIBLE);
    host_drop_doubts(dev);
    g_assert_cmpuint(dev->problems->len, ==, 1);
    g_assert_cmpint(host_verdict(host, dev), ==, VERDICT_IMPOSSIBLE);
    g_ptr_array_set_size(dev->problems, 0);
    g_assert_cmpint(host_verdict(host, dev), ==, VERDICT_READY);
    host_free(host);
    remove_tree(root);
}

/* The QEMU for VMs: a script that answers as one does, or nothing at all */
typedef struct Program {
    const char *name;
    const char *iommu;
    const char *property;   /* NULL: there is no such device; "": no program */
    const char *what;       /* part of the problem; NULL: there is none */
} Program;

static const Program programs[] = {
    { "vtd_can", "dmar0", "fsts" },
    { "vtd-old_told", "dmar0", "x-flts",
      "cannot nest: its intel-iommu has no property fsts (QEMU emulator "
      "version 9.9" },
    { "vtd-other-property_told", "dmar0", "no-fsts", "has no property fsts" },
    { "vtd-none_told", "dmar0", NULL, "has no property fsts" },
    { "smmuv3_can", "smmu3.0", "accel" },
    { "smmuv3-old_told", "smmu3.0", "fsts",
      "its arm-smmuv3 has no property accel" },
    { "missing_told", "dmar0", "", "cannot be run" },
};

static void test_program(gconstpointer opaque)
{
    const Program *p = opaque;
    const Host h = {
        .cmdline = "intel_iommu=on,sm_on", .cap = CAP, .ecap = ECAP,
        .iommu = p->iommu, .driver = "vfio-pci", .config = CONFIG
        "CONFIG_ARM_SMMU_V3_IOMMUFD=y\n",
    };
    g_autofree char *root = g_dir_make_tmp("host-check-XXXXXX", NULL);
    g_autoptr(GPtrArray) devices = NULL;
    HostState *host;
    HostDevice *dev;

    put_host(root, &h);
    host = host_read(root);
    host->qemu = g_build_filename(root, "qemu", NULL);
    if (g_strcmp0(p->property, "")) {
        put(root, "qemu", "#!/bin/sh\n[ \"$1\" = --version ] && echo 'QEMU "
            "emulator version 9.9' && echo more && exit\n[ \"$2\" = %s,help ] "
            "&& echo options: && echo '  %s=<bool>  - on/off'\n",
            p->property ? strstr(p->iommu, "smmu") ? "arm-smmuv3"
                                                   : "intel-iommu" : "none",
            p->property ?: "");
        g_assert_cmpint(g_chmod(host->qemu, 0700), ==, 0);
    }
    devices = host_read_devices(root, host);
    dev = g_ptr_array_index(devices, 0);
    g_assert_cmpstr(dev->qemu, ==, host->qemu);
    probe_qemu(host, dev);
    if (p->what) {
        HostProblem *problem;

        g_assert_cmpuint(host->problems->len, ==, 1);
        problem = g_ptr_array_index(host->problems, 0);
        g_assert_nonnull(strstr(problem->what, p->what));
        g_assert_nonnull(strstr(problem->what, host->qemu));
        g_assert_cmpstr(problem->remedy, ==, REMEDY_QEMU);
        g_assert_cmpint(host_verdict(host, dev), ==, VERDICT_MENDABLE);
    } else {
        g_assert_cmpuint(host->problems->len, ==, 0);
        g_assert_cmpstr(host->qemu_version, ==, "QEMU emulator version 9.9");
    }
    host_free(host);
    remove_tree(root);
}

/* The program itself: what it prints, and its exit status */
#define CHECK_PROGRAM   "contrib/viommu-host-check/viommu-host-check"

static const struct Command {
    const char *name;
    const char *args;
    int status;
    const char *said;
} commands[] = {
    { "not-ready_1", "", 1, ADDRESS " [1b36:0010] vfio-pci: unknown" },
    { "named_1", ADDRESS, 1, ADDRESS " [1b36:0010] vfio-pci: unknown" },
    { "json_1", "--json", 1, "\"verdict\": \"unknown\"" },
    { "other-address_2", "0000:77:00.0", 2,
      "viommu-host-check: 0000:77:00.0 is not the full address of a PCI" },
    { "bad-option_2", "--nonsense", 2, "viommu-host-check: " },
    { "bad-qemu_1", "--qemu /nonexistent/qemu", 1,
      "- /nonexistent/qemu cannot be run" },
};

static void test_command(gconstpointer opaque)
{
    static const Host h = {
        .cmdline = "intel_iommu=on,sm_on", .iommu = "dmar0", .cap = CAP,
        .ecap = ECAP, .driver = "vfio-pci", .config = CONFIG,
    };
    const struct Command *c = opaque;
    g_autofree char *root = g_dir_make_tmp("host-check-XXXXXX", NULL);
    g_autofree char *line = g_strdup_printf(CHECK_PROGRAM " --root %s %s", root,
                                            c->args);
    g_autofree char *out = NULL, *err = NULL, *said = NULL;
    int status;

    if (!g_file_test(CHECK_PROGRAM, G_FILE_TEST_IS_EXECUTABLE)) {
        g_test_skip(CHECK_PROGRAM " is not built");
        remove_tree(root);
        return;
    }
    put_host(root, &h);
    g_assert_true(g_spawn_command_line_sync(line, &out, &err, &status, NULL));
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, c->status);
    said = g_strconcat(out, err, NULL);
    g_test_message("%s", said);
    g_assert_nonnull(strstr(said, c->said));
    remove_tree(root);
}

/* A host without PCI devices is no reason to fail */
static void test_empty(void)
{
    g_autofree char *root = g_dir_make_tmp("host-check-XXXXXX", NULL);
    HostState *host = host_read(root);
    g_autoptr(GPtrArray) devices = host_read_devices(root, host);

    g_assert_cmpuint(devices->len, ==, 0);
    g_assert_cmpuint(host->problems->len, ==, 1);
    host_free(host);
    remove_tree(root);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    for (int i = 0; i < ARRAY_SIZE(hosts); i++) {
        g_autofree char *path = g_strdup_printf("/viommu-host-check/%s",
                                                hosts[i].name);

        g_test_add_data_func(path, &hosts[i], test_host);
    }
    for (int i = 0; i < ARRAY_SIZE(programs); i++) {
        g_autofree char *path = g_strdup_printf("/viommu-host-check/qemu/%s",
                                                programs[i].name);

        g_test_add_data_func(path, &programs[i], test_program);
    }
    for (int i = 0; i < ARRAY_SIZE(commands); i++) {
        g_autofree char *path = g_strdup_printf("/viommu-host-check/command/%s",
                                                commands[i].name);

        g_test_add_data_func(path, &commands[i], test_command);
    }
    g_test_add_func("/viommu-host-check/none/no-devices", test_empty);
    g_test_add_func("/viommu-host-check/vtd/kernel-was-asked", test_doubts);
    return g_test_run();
}
