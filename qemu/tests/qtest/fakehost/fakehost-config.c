/*
 * Fakehost: the description of the host.
 *
 * FAKEHOST_HOST names a text file; one object per line, # starts a comment:
 *
 *   iommu NAME type=vtd cap=0x… ecap=0x… [errata=0x…] [sm=0]
 *   iommu NAME type=smmuv3 idr0=0x… … idr5=0x… [iidr=0x…] [aidr=0x…]
 *              [canwbs=1] [cmdqv=1 [log2vcmdqs=1] [log2vsids=4] [vintfs=63]]
 *              [contiguous=0]
 *   iommu NAME type=none
 *   device NAME iommu=NAME [key=value …]
 *
 * cmdqv= is the version of Tegra241's command queues; of 2^log2vcmdqs queues
 * for each guest, of 2^log2vsids devices in it, and of so many guests. Queues
 * may cross no multiple of contiguous= bytes (0: any), as if memory were in
 * pieces of that size that do not follow each other.
 *
 * The keys of a device, with their defaults:
 *
 *   group=N          IOMMU group; the default is one of its own
 *   slot=N           devices that share it are reset together; default: alone
 *   pasid-bits=0     width of the PASIDs that the host supports for it
 *   pasid-exec=0 pasid-priv=0
 *                    it can ask for execute permission, in privileged mode
 *   ext-caps=0       1: its config space has extended capabilities, 2: and
 *                    they use it to its end, 3: what is there belongs to none,
 *                    4: one is near the end, its length unknown
 *   ats=1            ATS may be used
 *   pri=0            1: it has capabilities for ATS and page requests, and may
 *                    use them, 2: has them, but may not
 *   coherent=1       its IOMMU can keep DMA coherent
 *   isolated-msi=1   its interrupts are remapped
 *   streams=1        SMMUv3 stream ids that it has
 *   reset=1          it has a function-level reset
 *   migrate=0        its state can be saved and loaded
 *   log-dma=0        it can log the addresses that it writes to
 *   dmabuf=0         other devices can reach its BAR, by a dma-buf
 *   mdev=0           sysfs calls it a mediated device
 *   sysfs=1          sysfs has it
 *   vendor=0x1b36 device=0x10 class=0x010802
 *   bar0=0x4000      size of the 64-bit memory BAR, a power of two; 0: none
 *   bars=1           2 to 6: so many of that size, of 32 bits each
 *   msix=16          MSI-X vectors
 *
 * A mistake ends the program: a test must not run on a host it did not ask
 * for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fakehost-model.h"

#define FH_OWN_NUMBER   0x10000ull      /* groups nobody asked for */

static FhIommu *fh_iommus;
static FhVfioDev *fh_devices;
static unsigned fh_nr_devices;

static const FhVendor *const fh_vendors[] = {
    &fh_vendor_vtd, &fh_vendor_smmuv3, &fh_vendor_none,
};

static const struct {
    const char *key;
    size_t offset;
} fh_device_keys[] = {
#define KEY(k, m) { k, offsetof(FhVfioDev, m) }
    KEY("group", group), KEY("slot", slot), KEY("pasid-bits", pasid_bits),
    KEY("pasid-exec", pasid_exec), KEY("pasid-priv", pasid_priv),
    KEY("ext-caps", ext_caps), KEY("ats", ats), KEY("coherent", coherent),
    KEY("isolated-msi", isolated_msi), KEY("reset", has_reset),
    KEY("migrate", migrate), KEY("log-dma", log_dma), KEY("mdev", mdev),
    KEY("dmabuf", dmabuf), KEY("pri", pri),
    KEY("vendor", vendor_id), KEY("device", device_id),
    KEY("streams", streams),
    KEY("class", class_code), KEY("bar0", bar0_size), KEY("msix", msix),
    KEY("bars", bars), KEY("sysfs", sysfs),
#undef KEY
};

static void fh_config_die(const char *what, const char *value)
{
    fprintf(stderr, "fakehost: host description: %s '%s'\n", what, value);
    _exit(EXIT_FAILURE);
}

/* --- a host without an IOMMU driver that reports anything --- */

static bool none_parse(FhIommu *iommu, const char *key, uint64_t value)
{
    return false;
}

static void none_hw_info(FhIommu *iommu, uint32_t *type, const void **data,
                         uint32_t *len)
{
    *type = 0;
    *data = NULL;
    *len = 0;
}

static bool none_no(FhIommu *iommu)
{
    return false;
}

static int none_alloc_paging(FhHwpt *hwpt, uint32_t flags)
{
    hwpt->width = 48;
    hwpt->pgsizes = FH_PAGE_SIZE;
    return flags ? -EOPNOTSUPP : 0;
}

static int none_attach(FhHwpt *hwpt, FhIdev *idev, uint32_t pasid, FhOld *old)
{
    *old = FH_OLD_KEPT;
    return pasid ? -EOPNOTSUPP : 0;
}

const FhVendor fh_vendor_none = {
    .name = "none",
    .parse = none_parse,
    .hw_info = none_hw_info,
    .can_track_dirty = none_no,
    .can_enforce_coherence = none_no,
    .alloc_paging = none_alloc_paging,
    .attach = none_attach,
};

/* --- lines --- */

static FhIommu *fh_iommu_find(const char *name)
{
    FhIommu *iommu = fh_iommus;

    while (iommu && strcmp(iommu->name, name)) {
        iommu = iommu->next;
    }
    return iommu;
}

static uint64_t fh_config_number(const char *key, const char *value)
{
    uint64_t n;

    if (!fh_parse_u64(value, &n)) {
        fh_config_die("no number for key", key);
    }
    return n;
}

static void fh_config_iommu_key(FhIommu *iommu, const char *key,
                                const char *value)
{
    if (!strcmp(key, "type")) {
        for (size_t i = 0; i < FH_ARRAY_SIZE(fh_vendors); i++) {
            if (!strcmp(fh_vendors[i]->name, value)) {
                iommu->vendor = fh_vendors[i];
                return;
            }
        }
        fh_config_die("unknown type", value);
    }
    if (!iommu->vendor) {
        fh_config_die("type= has to come before", key);
    }
    if (!iommu->vendor->parse(iommu, key, fh_config_number(key, value))) {
        fh_config_die("unknown key", key);
    }
}

static void fh_config_device_key(FhVfioDev *dev, const char *key,
                                 const char *value)
{
    if (!strcmp(key, "iommu")) {
        dev->iommu = fh_iommu_find(value);
        if (!dev->iommu) {
            fh_config_die("unknown iommu", value);
        }
        return;
    }
    for (size_t i = 0; i < FH_ARRAY_SIZE(fh_device_keys); i++) {
        if (!strcmp(fh_device_keys[i].key, key)) {
            *(uint64_t *)((char *)dev + fh_device_keys[i].offset) =
                fh_config_number(key, value);
            return;
        }
    }
    fh_config_die("unknown key", key);
}

static FhVfioDev *fh_config_new_device(const char *name)
{
    struct FakehostControl *page = fh_control();
    FhVfioDev *dev = calloc(1, sizeof(*dev));

    if (fh_nr_devices == FAKEHOST_DEVICES || fh_config_device(name)) {
        fh_config_die("too many devices, or a second", name);
    }
    strncpy(dev->name, name, sizeof(dev->name) - 1);
    dev->group = FH_OWN_NUMBER + fh_nr_devices;
    dev->slot = FH_OWN_NUMBER + fh_nr_devices;
    dev->ats = 1;
    dev->coherent = 1;
    dev->sysfs = 1;
    dev->isolated_msi = 1;
    dev->streams = 1;
    dev->has_reset = 1;
    dev->vendor_id = 0x1b36;
    dev->device_id = 0x0010;
    dev->class_code = 0x010802;
    dev->bar0_size = 0x4000;
    dev->bars = 1;
    dev->msix = 16;
    fh_migration_init(dev);
    dev->state = &page->devices[fh_nr_devices++];
    page->devices_used = fh_nr_devices;
    strcpy(dev->state->name, dev->name);
    dev->next = fh_devices;
    fh_devices = dev;
    return dev;
}

static void fh_config_line(char *line)
{
    char *save, *what, *name, *word;
    FhIommu *iommu = NULL;
    FhVfioDev *dev = NULL;

    what = strtok_r(line, " \t", &save);
    if (!what) {
        return;
    }
    name = strtok_r(NULL, " \t", &save);
    if (!name) {
        fh_config_die("no name for", what);
    }
    if (!strcmp(what, "iommu")) {
        iommu = calloc(1, sizeof(*iommu));
        strncpy(iommu->name, name, sizeof(iommu->name) - 1);
        iommu->next = fh_iommus;
        fh_iommus = iommu;
    } else if (!strcmp(what, "device")) {
        dev = fh_config_new_device(name);
    } else {
        fh_config_die("unknown line", what);
    }
    while ((word = strtok_r(NULL, " \t", &save))) {
        char *value = strchr(word, '=');

        if (!value) {
            fh_config_die("no value for", word);
        }
        *value++ = 0;
        if (iommu) {
            fh_config_iommu_key(iommu, word, value);
        } else {
            fh_config_device_key(dev, word, value);
        }
    }
    if (iommu ? !iommu->vendor : !dev->iommu) {
        fh_config_die(iommu ? "no type= for" : "no iommu= for", name);
    }
    if (dev) {
        fh_pci_init(dev);
    }
}

void fh_config_load(const char *path)
{
    FILE *f = path ? fopen(path, "re") : NULL;
    char *line = NULL;
    size_t room = 0;

    if (!f) {
        fh_config_die("cannot read FAKEHOST_HOST", path ? path : "(unset)");
    }
    while (getline(&line, &room, f) >= 0) {
        line[strcspn(line, "#\n")] = 0;
        fh_config_line(line);
    }
    free(line);
    fclose(f);
}

FhVfioDev *fh_config_device(const char *name)
{
    FhVfioDev *dev = fh_devices;

    while (dev && strcmp(dev->name, name)) {
        dev = dev->next;
    }
    return dev;
}

unsigned fh_config_index(const FhVfioDev *dev)
{
    return dev->state - fh_control()->devices;
}

FhVfioDev *fh_config_devices(void)
{
    return fh_devices;
}
