/*
 * viommu-host-check: what procfs and sysfs tell
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include <sys/utsname.h>
#include <zlib.h>
#include "host-check.h"

/* Capability and extended capability registers (VT-d 11.4.2, 11.4.3) */
#define CAP_MGAW(cap)   ((((cap) >> 16) & 0x3f) + 1)
#define ECAP_NEST       (1ULL << 26)
#define ECAP_SMTS       (1ULL << 43)
#define ECAP_SSTS       (1ULL << 46)
#define ECAP_FSTS       (1ULL << 47)

#define CONFIG_REMEDY \
    "install a kernel that has it; for Debian, viommu-nesting's " \
    "\"make host-kernel-deb\" builds one"

static void problem_free(void *opaque)
{
    HostProblem *problem = opaque;

    g_free(problem->what);
    g_free(problem->remedy);
    g_free(problem);
}

void host_add_problem(GPtrArray *problems, bool unknown, const char *remedy,
                      const char *fmt, ...)
{
    HostProblem *problem = g_new0(HostProblem, 1);
    va_list ap;

    va_start(ap, fmt);
    problem->what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    problem->remedy = g_strdup(remedy);
    problem->unknown = unknown;
    g_ptr_array_add(problems, problem);
}

void host_drop_doubts(HostDevice *dev)
{
    for (guint i = dev->problems->len; i; i--) {
        HostProblem *problem = g_ptr_array_index(dev->problems, i - 1);

        if (problem->unknown) {
            g_ptr_array_remove_index(dev->problems, i - 1);
        }
    }
}

/* The contents of a file without the last newline, or NULL */
static char *read_file(const char *root, const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename("/", root, dir, name, NULL);
    char *text;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text)
                                                        : NULL;
}

/* The last part of what a symbolic link points to, or NULL */
static char *read_link(const char *root, const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename("/", root, dir, name, NULL);
    g_autofree char *target = g_file_read_link(path, NULL);

    return target ? g_path_get_basename(target) : NULL;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names in a directory, sorted; an empty array if there is none */
static GPtrArray *list_dir(const char *root, const char *dir)
{
    g_autofree char *path = g_build_filename("/", root, dir, NULL);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GDir *d = g_dir_open(path, 0, NULL);
    const char *name;

    while (d && (name = g_dir_read_name(d))) {
        g_ptr_array_add(names, g_strdup(name));
    }
    if (d) {
        g_dir_close(d);
    }
    g_ptr_array_sort(names, compare_names);
    return names;
}

/*
 * Options of the kernel, or NULL.  gzopen() reads files that are not packed.
 * Packages have them in /boot or, of late, beside the modules.
 */
static GHashTable *read_config(const char *root, const char *release)
{
    g_autofree char *proc = g_build_filename("/", root, "proc/config.gz", NULL);
    g_autofree char *boot = g_strdup_printf("%s/boot/config-%s", root, release);
    g_autofree char *lib = g_strdup_printf("%s/lib/modules/%s/config", root,
                                           release);
    gzFile file = gzopen(proc, "rb") ?: gzopen(boot, "rb") ?:
                  gzopen(lib, "rb");
    GHashTable *config;
    char line[4096];

    if (!file) {
        return NULL;
    }
    config = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    while (gzgets(file, line, sizeof(line))) {
        g_auto(GStrv) pair = g_strsplit(g_strchomp(line), "=", 2);

        if (pair[0] && pair[0][0] != '#' && pair[1]) {
            g_hash_table_insert(config, g_strdup(pair[0]), g_strdup(pair[1]));
        }
    }
    gzclose(file);
    return config;
}

/* True if an option is on, built in or as a module; also if that is unknown */
static bool config_on(HostState *host, const char *option)
{
    return !host->config || g_hash_table_contains(host->config, option);
}

static void check_config(HostState *host, GPtrArray *problems,
                         const char *option, const char *why)
{
    if (!config_on(host, option)) {
        host_add_problem(problems, false, CONFIG_REMEDY,
                         "the kernel has no %s: %s", option, why);
    }
}

/* Does VT-d use scalable mode, where it has it?  The last word counts */
static bool scalable_mode_on(HostState *host)
{
    g_auto(GStrv) words = g_strsplit_set(host->cmdline, " ,=", -1);
    bool on = host->config &&
              g_hash_table_contains(host->config,
                            "CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON");

    for (char **word = words; *word; word++) {
        if (g_str_equal(*word, "sm_on")) {
            on = true;
        } else if (g_str_equal(*word, "sm_off")) {
            on = false;
        }
    }
    return on;
}

HostState *host_read(const char *root)
{
    HostState *host = g_new0(HostState, 1);
    g_autofree char *iommu = g_build_filename("/", root, "dev/iommu", NULL);
    struct rlimit limit;
    struct utsname uts;

    host->problems = g_ptr_array_new_with_free_func(problem_free);
    host->release = read_file(root, "proc/sys/kernel", "osrelease");
    if (!host->release) {
        host->release = g_strdup(*root || uname(&uts) ? "unknown"
                                                      : uts.release);
    }
    host->cmdline = read_file(root, "proc", "cmdline") ?: g_strdup("");
    host->config = read_config(root, host->release);
    host->memlock = *root || getrlimit(RLIMIT_MEMLOCK, &limit) ||
                    limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX
                                                    : limit.rlim_cur;
    host->iommufd = g_file_test(iommu, G_FILE_TEST_EXISTS);

    check_config(host, host->problems, "CONFIG_IOMMUFD",
                 "there is no /dev/iommu without it");
    check_config(host, host->problems, "CONFIG_VFIO_DEVICE_CDEV",
                 "QEMU cannot open a device for an iommufd without it");
    if (!host->iommufd && config_on(host, "CONFIG_IOMMUFD")) {
        host_add_problem(host->problems, !host->config, "modprobe iommufd",
                         "/dev/iommu does not exist");
    }
    return host;
}

void host_free(HostState *host)
{
    g_free(host->release);
    g_free(host->cmdline);
    g_free(host->qemu);
    g_free(host->qemu_version);
    g_clear_pointer(&host->config, g_hash_table_destroy);
    g_ptr_array_unref(host->problems);
    g_free(host);
}

static void device_free(void *opaque)
{
    HostDevice *dev = opaque;

    g_free(dev->address);
    g_free(dev->ids);
    g_free(dev->driver);
    g_free(dev->group);
    g_free(dev->iommu);
    g_free(dev->cdev);
    g_free(dev->qemu);
    g_ptr_array_unref(dev->problems);
    g_free(dev);
}

static uint64_t read_hex(const char *root, const char *dir, const char *name)
{
    g_autofree char *text = read_file(root, dir, name);

    return text ? g_ascii_strtoull(text, NULL, 16) : 0;
}

static void read_iommu(const char *root, const char *dir, HostDevice *dev)
{
    g_autofree char *regs = NULL;

    dev->iommu = read_link(root, dir, "iommu");
    if (!dev->iommu) {
        return;
    }
    dev->kind = HOST_IOMMU_OTHER;
    regs = g_strdup_printf("sys/class/iommu/%s/intel-iommu", dev->iommu);
    dev->cap = read_hex(root, regs, "cap");
    dev->ecap = read_hex(root, regs, "ecap");
    if (dev->cap) {
        dev->kind = HOST_IOMMU_VTD;
    } else if (g_str_has_prefix(dev->iommu, "smmu3")) {
        dev->kind = HOST_IOMMU_SMMUV3;
    }
}

static void check_vtd(HostState *host, HostDevice *dev)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } needed[] = {
        { ECAP_SMTS, "scalable mode (ECAP.SMTS)" },
        { ECAP_NEST, "nested translation (ECAP.NEST)" },
        { ECAP_FSTS, "first-stage translation (ECAP.FSTS)" },
        { ECAP_SSTS, "second-stage translation (ECAP.SSTS)" },
    };

    for (int i = 0; i < ARRAY_SIZE(needed); i++) {
        if (!(dev->ecap & needed[i].bit)) {
            host_add_problem(dev->problems, false, NULL, "%s has no %s",
                             dev->iommu, needed[i].name);
        }
    }
    if (CAP_MGAW(dev->cap) < 48) {
        host_add_problem(dev->problems, false, NULL, "%s has addresses of %u "
                         "bits, 48 are needed", dev->iommu,
                         (unsigned)CAP_MGAW(dev->cap));
    }
    /* The registers are there in legacy mode as well */
    if (!dev->problems->len && !scalable_mode_on(host)) {
        host_add_problem(dev->problems, !host->config, REMEDY_SM_ON,
                         "the kernel %s VT-d in legacy mode",
                         host->config ? "runs" : "may run");
    }
}

static void check_iommu(HostState *host, HostDevice *dev)
{
    switch (dev->kind) {
    case HOST_IOMMU_VTD:
        check_vtd(host, dev);
        break;
    case HOST_IOMMU_SMMUV3:
        check_config(host, dev->problems, "CONFIG_ARM_SMMU_V3_IOMMUFD",
                     "no stage-1 tables of user space without it");
        break;
    case HOST_IOMMU_OTHER:
        host_add_problem(dev->problems, false, NULL, "its IOMMU (%s) is "
                         "neither VT-d nor an SMMUv3", dev->iommu);
        break;
    case HOST_IOMMU_NONE:
        host_add_problem(dev->problems, true, "switch the IOMMU on in the "
                         "firmware, and boot with intel_iommu=on,sm_on if it "
                         "is Intel's", "it has no IOMMU, or that is off");
        break;
    }
}

/*
 * The program that was named, or that of the package, if that is installed, or
 * that of the distribution
 */
static void find_qemu(const char *root, const HostState *host, HostDevice *dev)
{
    const char *arch = dev->kind == HOST_IOMMU_SMMUV3 ? "aarch64" : "x86_64";
    g_autofree char *path = NULL;

    if (host->qemu) {
        dev->qemu = g_strdup(host->qemu);
        return;
    }
    dev->qemu = g_strdup_printf("qemu-system-%s-viommu", arch);
    path = g_build_filename("/", root, "usr/bin", dev->qemu, NULL);
    dev->packaged = g_file_test(path, G_FILE_TEST_IS_EXECUTABLE);
    if (!dev->packaged) {
        g_free(dev->qemu);
        dev->qemu = g_strdup_printf("qemu-system-%s", arch);
    }
}

/* Does VFIO have the device?  Not all of its drivers are called vfio-... */
static bool is_vfio(const char *root, const char *dir, const char *driver)
{
    g_autofree char *vfio = g_build_filename("/", root, dir, "vfio-dev", NULL);

    return driver && (g_str_has_prefix(driver, "vfio") ||
                      g_file_test(vfio, G_FILE_TEST_IS_DIR));
}

/* Drivers beside which the kernel lets VFIO have other devices of a group */
static bool driver_leaves_group(const char *root, const char *dir,
                                const char *driver)
{
    return !driver || is_vfio(root, dir, driver) ||
           g_str_equal(driver, "pcieport") || g_str_equal(driver, "pci-stub");
}

static void check_group(const char *root, HostDevice *dev)
{
    g_autofree char *dir = g_strdup_printf("sys/kernel/iommu_groups/%s/devices",
                                           dev->group);
    g_autoptr(GPtrArray) names = list_dir(root, dir);

    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *pci = g_strdup_printf("sys/bus/pci/devices/%s", name);
        g_autofree char *driver = read_link(root, pci, "driver");

        if (strcmp(name, dev->address) &&
            !driver_leaves_group(root, pci, driver)) {
            g_autofree char *remedy =
                g_strdup_printf("echo %s > /sys/bus/pci/devices/%s/driver/"
                                "unbind", name, name);

            host_add_problem(dev->problems, false, remedy, "%s, in the same "
                             "IOMMU group %s, is in use by %s", name,
                             dev->group, driver);
        }
    }
}

/* Tables of a VM cannot have what firmware wants (RMRR, IORT's RMR) */
static void check_reserved(const char *root, HostDevice *dev)
{
    g_autofree char *dir = g_strdup_printf("sys/kernel/iommu_groups/%s",
                                           dev->group);
    g_autofree char *text = read_file(root, dir, "reserved_regions");
    g_auto(GStrv) lines = g_strsplit(text ?: "", "\n", -1);

    for (char **line = lines; *line; line++) {
        /* The kernel lets go of those that are "direct-relaxable" */
        if (g_str_has_suffix(*line, " direct")) {
            host_add_problem(dev->problems, false, NULL, "the firmware wants "
                             "memory mapped 1:1 for it (%s), which the kernel "
                             "does not let a VM take away", *line);
            return;
        }
    }
}

static void check_driver(const char *root, const char *dir, HostDevice *dev)
{
    g_autofree char *vfio = g_strdup_printf("%s/vfio-dev", dir);
    g_autoptr(GPtrArray) names = list_dir(root, vfio);

    if (names->len) {
        const char *name = g_ptr_array_index(names, 0);
        g_autofree char *file = g_build_filename("/", root, vfio, name, "dev",
                                                 NULL);

        /* Without CONFIG_VFIO_DEVICE_CDEV the rest is there all the same */
        if (g_file_test(file, G_FILE_TEST_EXISTS)) {
            dev->cdev = g_strdup(name);
            return;
        }
    }
    if (is_vfio(root, dir, dev->driver)) {
        host_add_problem(dev->problems, false, CONFIG_REMEDY, "%s gives it no "
                         "device file (CONFIG_VFIO_DEVICE_CDEV)", dev->driver);
    } else {
        g_autofree char *unbind =
            g_strdup_printf("echo %s > /sys/bus/pci/devices/%s/driver/unbind; ",
                            dev->address, dev->address);
        g_autofree char *remedy =
            g_strdup_printf("modprobe vfio-pci; echo vfio-pci > /sys/bus/pci/"
                            "devices/%s/driver_override; %secho %s > "
                            "/sys/bus/pci/drivers_probe", dev->address,
                            dev->driver ? unbind : "", dev->address);

        host_add_problem(dev->problems, false, remedy, "it is bound to %s, "
                         "not to vfio-pci%s", dev->driver ?: "no driver",
                         dev->driver ? "; the host loses it" : "");
    }
}

static HostDevice *read_device(const char *root, HostState *host,
                               const char *address)
{
    g_autofree char *dir = g_strdup_printf("sys/bus/pci/devices/%s", address);
    HostDevice *dev = g_new0(HostDevice, 1);

    dev->address = g_strdup(address);
    dev->problems = g_ptr_array_new_with_free_func(problem_free);
    dev->ids = g_strdup_printf("%04x:%04x",
                               (unsigned)read_hex(root, dir, "vendor"),
                               (unsigned)read_hex(root, dir, "device"));
    dev->driver = read_link(root, dir, "driver");
    dev->group = read_link(root, dir, "iommu_group");
    read_iommu(root, dir, dev);
    find_qemu(root, host, dev);
    check_iommu(host, dev);
    if (dev->kind != HOST_IOMMU_NONE) {
        if (dev->group) {
            check_group(root, dev);
            check_reserved(root, dev);
        }
        check_driver(root, dir, dev);
    }
    return dev;
}

GPtrArray *host_read_devices(const char *root, HostState *host)
{
    g_autoptr(GPtrArray) names = list_dir(root, "sys/bus/pci/devices");
    GPtrArray *devices = g_ptr_array_new_with_free_func(device_free);

    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *dir = g_strdup_printf("sys/bus/pci/devices/%s", name);

        if (read_hex(root, dir, "class") >> 16 == 0x06) {
            continue;   /* a bridge */
        }
        g_ptr_array_add(devices, read_device(root, host, name));
    }
    return devices;
}

static HostVerdict problems_verdict(const GPtrArray *problems)
{
    HostVerdict verdict = VERDICT_READY;

    for (guint i = 0; i < problems->len; i++) {
        HostProblem *problem = g_ptr_array_index(problems, i);
        HostVerdict v = problem->unknown ? VERDICT_UNKNOWN :
                        problem->remedy ? VERDICT_MENDABLE :
                                          VERDICT_IMPOSSIBLE;

        verdict = MAX(verdict, v);
    }
    return verdict;
}

HostVerdict host_verdict(const HostState *host, const HostDevice *dev)
{
    HostVerdict verdict = MAX(problems_verdict(host->problems),
                              problems_verdict(dev->problems));

    return verdict == VERDICT_READY && !dev->probed ? VERDICT_UNKNOWN : verdict;
}
