/*
 * viommu-host-check: can this host walk stage-1 tables of a guest?
 *
 * For each PCI device: whether a VM can have it behind a vIOMMU that nests,
 * what stands in the way, and how to start QEMU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu-version.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "host-check.h"

static const char *const verdicts[] = {
    [VERDICT_READY] = "ready",
    [VERDICT_MENDABLE] = "mendable",
    [VERDICT_UNKNOWN] = "unknown",
    [VERDICT_IMPOSSIBLE] = "impossible",
};

/* Is there a way to start QEMU, once what can be mended is? */
static bool has_command(const HostDevice *dev, HostVerdict verdict)
{
    return verdict != VERDICT_IMPOSSIBLE &&
           (dev->kind == HOST_IOMMU_VTD || dev->kind == HOST_IOMMU_SMMUV3);
}

/* What the command line has for this device, and nothing that it must not */
static char *device_command(const HostDevice *dev)
{
    const char *viommu;

    if (dev->kind == HOST_IOMMU_SMMUV3) {
        return g_strdup_printf("%s -M virt,accel=kvm,"
                               "gic-version=3 -nodefaults -serial mon:stdio "
                               "-display none -cpu host -m 4G -bios "
                               "QEMU_EFI.fd -device arm-smmuv3,"
                               "primary-bus=pcie.0,id=smmuv3.0,accel=on "
                               "-object iommufd,id=iommufd0 -device "
                               "pcie-root-port,id=rp0,bus=pcie.0 -device "
                               "vfio-pci,host=%s,iommufd=iommufd0,bus=rp0",
                               dev->qemu, dev->address);
    }
    viommu = dev->cap & CAP_FS1GP ? "" : ",fs1gp=off";
    return g_strdup_printf("%s -M q35,accel=kvm,"
                           "kernel-irqchip=split -cpu host -m 4G -device "
                           "intel-iommu,intremap=on,scalable-mode=on,fsts=on%s "
                           "-object iommufd,id=iommufd0 -device "
                           "pcie-root-port,id=rp0 -device vfio-pci,host=%s,"
                           "iommufd=iommufd0,bus=rp0", dev->qemu, viommu,
                           dev->address);
}

/*
 * Elements for libvirt's domain XML.  Emulated devices stay on pcie.0, so an
 * SMMUv3 gets a root complex of its own.
 */
static char *device_xml(const HostDevice *dev)
{
    static const char intel[] =
        "<!-- features and qemu:commandline: in domain, which needs "
        "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'; the others: "
        "in devices -->\n"
        "<features><acpi/><ioapic driver='qemu'/></features>\n"
        "<iommu model='intel'><driver intremap='on'/></iommu>\n";
    static const char smmuv3[] =
        "<!-- features: in domain; the others: in devices -->\n"
        "<features><acpi/></features>\n"
        "<controller type='pci' index='1' model='pcie-expander-bus'/>\n"
        "<controller type='pci' index='2' model='pcie-root-port'>"
        "<address type='pci' bus='0x01'/></controller>\n"
        "<iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>\n";
    bool vtd = dev->kind == HOST_IOMMU_VTD;
    unsigned int domain, bus, slot, function;
    GString *xml = g_string_new(vtd ? intel : smmuv3);

    if (dev->packaged || g_path_is_absolute(dev->qemu)) {
        g_string_append_printf(xml, "<emulator>%s%s</emulator>\n",
                               dev->packaged ? "/usr/bin/" : "", dev->qemu);
    }
    if (sscanf(dev->address, "%x:%x:%x.%x", &domain, &bus, &slot,
               &function) == 4) {
        g_string_append_printf(xml,
            "<hostdev mode='subsystem' type='pci' managed='yes'>\n"
            "  <driver iommufd='yes'/>\n"
            "  <source><address domain='0x%04x' bus='0x%02x' slot='0x%02x' "
            "function='0x%x'/></source>\n%s</hostdev>\n",
            domain, bus, slot, function,
            vtd ? "" : "  <address type='pci' bus='0x02'/>\n");
    }
    if (vtd) {
        g_string_append_printf(xml,
            "<qemu:commandline>\n"
            "  <qemu:arg value='-global'/>"
            "<qemu:arg value='intel-iommu.scalable-mode=on'/>\n"
            "  <qemu:arg value='-global'/>"
            "<qemu:arg value='intel-iommu.fsts=on'/>\n%s"
            "</qemu:commandline>\n",
            dev->cap & CAP_FS1GP ? "" : "  <qemu:arg value='-global'/>"
            "<qemu:arg value='intel-iommu.fs1gp=off'/>\n");
    }
    return g_string_free(xml, false);
}

static void print_problems(const char *indent, const GPtrArray *problems)
{
    for (guint i = 0; i < problems->len; i++) {
        HostProblem *problem = g_ptr_array_index(problems, i);

        printf("%s- %s%s\n", indent, problem->what,
               problem->unknown ? " (not certain)" : "");
        if (problem->remedy) {
            printf("%s    %s\n", indent, problem->remedy);
        }
    }
}

static void print_text(const HostState *host, const GPtrArray *devices)
{
    printf("viommu-host-check %s; Linux %s, %s/dev/iommu%s%s\n",
           QEMU_FULL_VERSION, host->release, host->iommufd ? "" : "no ",
           host->qemu_version ? "; " : "", host->qemu_version ?: "");
    if (host->memlock != UINT64_MAX) {
        printf("limit of locked memory: %" PRIu64 " KiB; QEMU needs the "
               "guest's memory and a little more, unless it runs as root\n",
               host->memlock / 1024);
    }
    print_problems("", host->problems);
    for (guint i = 0; i < devices->len; i++) {
        HostDevice *dev = g_ptr_array_index(devices, i);
        HostVerdict verdict = host_verdict(host, dev);
        g_autofree char *command = device_command(dev);
        g_autofree char *xml = device_xml(dev);

        printf("\n%s [%s] %s: %s\n", dev->address, dev->ids,
               dev->driver ?: "no driver", verdicts[verdict]);
        print_problems("  ", dev->problems);
        if (has_command(dev, verdict)) {
            printf("  %s\n%s", command, xml);
        }
    }
    if (!devices->len) {
        printf("no PCI devices\n");
    }
}

static QList *json_problems(const GPtrArray *problems)
{
    QList *list = qlist_new();

    for (guint i = 0; i < problems->len; i++) {
        HostProblem *problem = g_ptr_array_index(problems, i);
        QDict *d = qdict_new();

        qdict_put_str(d, "what", problem->what);
        qdict_put_bool(d, "certain", !problem->unknown);
        if (problem->remedy) {
            qdict_put_str(d, "remedy", problem->remedy);
        }
        qlist_append(list, d);
    }
    return list;
}

static void json_hex(QDict *d, const char *key, uint64_t val)
{
    g_autofree char *text = g_strdup_printf("0x%" PRIx64, val);

    qdict_put_str(d, key, text);
}

static QDict *json_device(const HostState *host, const HostDevice *dev)
{
    HostVerdict verdict = host_verdict(host, dev);
    QDict *d = qdict_new();

    qdict_put_str(d, "address", dev->address);
    qdict_put_str(d, "id", dev->ids);
    qdict_put_str(d, "verdict", verdicts[verdict]);
    if (dev->driver) {
        qdict_put_str(d, "driver", dev->driver);
    }
    if (dev->group) {
        qdict_put_str(d, "group", dev->group);
    }
    if (dev->iommu) {
        qdict_put_str(d, "iommu", dev->iommu);
    }
    if (dev->kind == HOST_IOMMU_VTD) {
        json_hex(d, "cap", dev->cap);
        json_hex(d, "ecap", dev->ecap);
    }
    if (dev->kind == HOST_IOMMU_SMMUV3 && dev->probed) {
        for (int i = 0; i < ARRAY_SIZE(dev->idr); i++) {
            g_autofree char *key = g_strdup_printf("idr%d", i);

            json_hex(d, key, dev->idr[i]);
        }
    }
    if (dev->probed) {
        qdict_put_int(d, "pasid-bits", dev->pasid_bits);
    }
    qdict_put(d, "problems", json_problems(dev->problems));
    if (has_command(dev, verdict)) {
        g_autofree char *command = device_command(dev);
        g_autofree char *xml = device_xml(dev);

        qdict_put_str(d, "command", command);
        qdict_put_str(d, "libvirt", xml);
    }
    return d;
}

static void print_json(const HostState *host, const GPtrArray *devices)
{
    g_autoptr(QDict) d = qdict_new();
    g_autoptr(GString) text = NULL;
    QList *list = qlist_new();

    qdict_put_str(d, "kernel", host->release);
    qdict_put_str(d, "cmdline", host->cmdline);
    qdict_put_str(d, "version", QEMU_FULL_VERSION);
    if (host->qemu_version) {
        qdict_put_str(d, "qemu", host->qemu_version);
    }
    qdict_put_bool(d, "iommufd", host->iommufd);
    if (host->memlock != UINT64_MAX) {
        qdict_put_int(d, "memlock", host->memlock);
    }
    qdict_put(d, "problems", json_problems(host->problems));
    for (guint i = 0; i < devices->len; i++) {
        qlist_append(list, json_device(host, g_ptr_array_index(devices, i)));
    }
    qdict_put(d, "devices", list);
    text = qobject_to_json_pretty(QOBJECT(d), true);
    printf("%s\n", text->str);
}

/* A copy of a host has no programs that could be run, but the one named */
static void check_qemu(HostState *host, const GPtrArray *devices)
{
    for (guint i = 0; i < devices->len; i++) {
        HostDevice *dev = g_ptr_array_index(devices, i);

        if (has_command(dev, VERDICT_READY)) {
            probe_qemu(host, dev);
            return;
        }
    }
}

/* Keep the devices that were named, or all.  False if one does not exist */
static bool select_devices(GPtrArray *devices, char **names)
{
    for (char **name = names; name && *name; name++) {
        bool found = false;

        for (guint i = 0; i < devices->len; i++) {
            HostDevice *dev = g_ptr_array_index(devices, i);

            found |= g_str_equal(dev->address, *name);
        }
        if (!found) {
            fprintf(stderr, "viommu-host-check: %s is not the full address of "
                    "a PCI device that is no bridge, such as 0000:01:00.0\n",
                    *name);
            return false;
        }
    }
    for (guint i = devices->len; names && i--;) {
        HostDevice *dev = g_ptr_array_index(devices, i);

        if (!g_strv_contains((const char *const *)names, dev->address)) {
            g_ptr_array_remove_index(devices, i);
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    g_auto(GStrv) names = NULL;
    g_autofree char *root = NULL, *path = NULL, *qemu = NULL;
    gboolean json = false;
    GOptionEntry entries[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json, "print JSON", NULL },
        { "root", 0, 0, G_OPTION_ARG_FILENAME, &root,
          "look at a copy of a host's /proc, /sys, /boot and /dev", "DIR" },
        { "qemu", 0, 0, G_OPTION_ARG_FILENAME, &qemu,
          "the QEMU for VMs, if not the package's or distribution's", "FILE" },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &names, NULL,
          "[DOMAIN:BUS:SLOT.FUNCTION...]" },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) devices = NULL;
    HostState *host;
    int status = 0;

    g_option_context_set_summary(context, "Tells for each PCI device whether "
                                 "a VM can have it behind a vIOMMU whose "
                                 "stage-1 tables the host's IOMMU walks.");
    g_option_context_set_description(context, "A device that is bound to VFIO "
                                     "and not in use is reset by the "
                                     "check.\n\n"
                                     "ready: the kernel was asked, and nothing "
                                     "stands in the way\nmendable: what is "
                                     "named mends it\nunknown: that cannot be "
                                     "told from here\nimpossible: this host "
                                     "cannot do it\n\nExit "
                                     "status: 0 if all devices "
                                     "shown are ready, 1 if not, 2 if the "
                                     "check itself failed.\n");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "viommu-host-check: %s\n", error->message);
        return 2;
    }

    path = root ? g_canonicalize_filename(root, NULL) : g_strdup("");
    host = host_read(path);
    host->qemu = qemu ? g_canonicalize_filename(qemu, NULL) : NULL;
    devices = host_read_devices(path, host);
    if (!select_devices(devices, names)) {
        host_free(host);
        return 2;
    }
    if (!root || qemu) {
        check_qemu(host, devices);
    }
    for (guint i = 0; i < devices->len; i++) {
        HostDevice *dev = g_ptr_array_index(devices, i);

        if (!root && dev->cdev && host->iommufd) {
            probe_device(dev);
        }
        status |= host_verdict(host, dev) != VERDICT_READY;
    }
    (json ? print_json : print_text)(host, devices);
    status |= !devices->len;
    host_free(host);
    return status;
}
