/*
 * SMMUv3: stage-1 tables owned by the guest, walked by the host SMMU
 *
 * This file decides who may sit behind the SMMU and what the guest is told
 * about it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "hw/boards.h"
#include "hw/mem/memory-device.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_viommu.h"
#include "migration/blocker.h"
#include "system/runstate.h"
#include "system/system.h"
#include "trace.h"
#include "smmuv3-accel.h"
#include "smmuv3-accel-bits.h"
#include "smmuv3-accel-cmd.h"
#include "smmuv3-accel-cmdqv.h"
#include "smmuv3-accel-event.h"
#include "smmuv3-accel-msi.h"
#include "smmuv3-accel-stream.h"

#define SMMUV3_ACCEL_SSIDSIZE_MAX   20
/* 48 bits: what the emulated SMMU and 4-level stage-2 tables can do */
#define SMMUV3_ACCEL_OAS_MAX        5
/* 52 bits: more take tables (D128) that the kernel does not report */
#define SMMUV3_ACCEL_VAX_MAX        1

const uint8_t smmuv3_accel_oas_bits[SMMUV3_ACCEL_OAS_KNOWN + 1] = {
    32, 36, 40, 42, 44, 48, 52
};

/* All host devices of the VM: guest memory is mapped and pinned once */
static AddressSpace smmuv3_accel_as;

/*
 * What the guest is told
 */

/* An on/off/auto property */
static int smmuv3_accel_on_off(OnOffAuto value)
{
    return value == ON_OFF_AUTO_AUTO ? SMMUV3_ACCEL_AUTO
                                     : value == ON_OFF_AUTO_ON;
}

/* A host that reports more than is known here can do at least that */
static int smmuv3_accel_host_oas(const struct iommu_hw_info_arm_smmuv3 *info)
{
    return MIN(FIELD_EX32(info->idr[5], IDR5, OAS), SMMUV3_ACCEL_OAS_KNOWN);
}

static void smmuv3_accel_set_auto(int *feature, int value)
{
    if (*feature == SMMUV3_ACCEL_AUTO) {
        *feature = value;
    }
}

/* The first device that is there at start decides what was left open */
static void smmuv3_accel_freeze(SMMUv3Accel *accel, HostIOMMUDevice *hiod)
{
    struct iommu_hw_info_arm_smmuv3 *info = &hiod->caps.vendor_caps.smmuv3;
    SMMUv3AccelFeatures *f = &accel->features;

    smmuv3_accel_set_auto(&f->ril, FIELD_EX32(info->idr[3], IDR3, RIL));
    /* Whether it can be used is decided for each device: see its STE */
    smmuv3_accel_set_auto(&f->ats, FIELD_EX32(info->idr[0], IDR0, ATS));
    smmuv3_accel_set_auto(&f->oas, MIN(smmuv3_accel_host_oas(info),
                                       SMMUV3_ACCEL_OAS_MAX));
    smmuv3_accel_set_auto(&f->ssidsize,
                          MIN(FIELD_EX32(info->idr[1], IDR1, SSIDSIZE),
                              SMMUV3_ACCEL_SSIDSIZE_MAX));
    /* The architecture has it only with substreams (SMMUv3 6.3.1) */
    smmuv3_accel_set_auto(&f->cd2l, f->ssidsize > 0 &&
                          FIELD_EX32(info->idr[0], IDR0, CD2L));
    smmuv3_accel_set_auto(&f->asid16, FIELD_EX32(info->idr[0], IDR0, ASID16));
    smmuv3_accel_set_auto(&f->bbml, MIN(FIELD_EX32(info->idr[3], IDR3, BBML),
                                        2));
    smmuv3_accel_set_auto(&f->vax, MIN(FIELD_EX32(info->idr[5], IDR5, VAX),
                                       SMMUV3_ACCEL_VAX_MAX));
    trace_smmuv3_accel_freeze(hiod->name, f->ril, f->ats, f->oas, f->ssidsize,
                              f->cd2l, f->asid16, f->bbml, f->vax);
}

/* The end of guest memory, that which may be plugged included */
static uint64_t smmuv3_accel_memory_end(void)
{
    MachineState *ms = MACHINE(qdev_get_machine());
    uint64_t end = ms->ram->addr + memory_region_size(ms->ram);

    if (ms->device_memory) {
        end = MAX(end, ms->device_memory->base +
                       memory_region_size(&ms->device_memory->mr));
    }
    return end;
}

/* With a smaller OAS the guest cannot map all of its memory for devices */
static void smmuv3_accel_check_memory(SMMUv3Accel *accel)
{
    uint64_t end = smmuv3_accel_memory_end();
    int bits = smmuv3_accel_oas_bits[accel->features.oas];

    if (end > 1ULL << bits) {
        error_report("arm-smmuv3 '%s' has oas=%d, but guest memory ends at 0x%"
                     PRIx64 ", which takes %d bits: use a larger oas=, as far "
                     "as the host has it, or less memory",
                     smmuv3_accel_id(accel), bits, end, 64 - clz64(end - 1));
        exit(EXIT_FAILURE);
    }
}

static void smmuv3_accel_machine_done(Notifier *notifier, void *data)
{
    SMMUv3Accel *accel = container_of(notifier, SMMUv3Accel, machine_done);
    SMMUv3AccelFeatures *f = &accel->features;
    const struct {
        int value;
        const char *name;
    } autos[] = {
        { f->ril, "ril" }, { f->ats, "ats" }, { f->oas, "oas" },
        { f->ssidsize, "ssidsize" },
    };
    g_autoptr(GString) names = g_string_new(NULL);

    for (size_t i = 0; i < ARRAY_SIZE(autos); i++) {
        if (autos[i].value == SMMUV3_ACCEL_AUTO) {
            g_string_append_printf(names, " %s=auto", autos[i].name);
        }
    }
    if (names->len) {
        error_report("arm-smmuv3 '%s' has%s, but no host device behind it at "
                     "start that could tell the values: add a vfio-pci device, "
                     "or set them (ril=on|off, ats=on|off, oas=BITS, "
                     "ssidsize=BITS) for devices that are plugged later",
                     DEVICE(accel->s)->id ?: "", names->str);
        exit(EXIT_FAILURE);
    }
    smmuv3_accel_check_memory(accel);
    if (f->cmdqv > 0 && QLIST_EMPTY(&accel->streams)) {
        error_report("arm-smmuv3 '%s' has cmdqv=on, but no host device behind "
                     "it at start that could tell how many command queues "
                     "there are: add a vfio-pci device, or use cmdqv=off",
                     smmuv3_accel_id(accel));
        exit(EXIT_FAILURE);
    }
    /* Without a host device: values that every host has */
    smmuv3_accel_set_auto(&f->cmdqv, 0);
    smmuv3_accel_set_auto(&f->cd2l, 0);
    smmuv3_accel_set_auto(&f->asid16, 1);
    smmuv3_accel_set_auto(&f->bbml, 0);
    smmuv3_accel_set_auto(&f->vax, 0);
}

void smmuv3_accel_init_regs(SMMUv3State *s)
{
    SMMUv3AccelFeatures *f;

    if (!s->s_accel) {
        return;
    }
    f = &s->s_accel->features;
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, ATS, f->ats);
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, ASID16, f->asid16);
    s->idr[0] = FIELD_DP32(s->idr[0], IDR0, CD2L, f->cd2l);
    s->idr[1] = FIELD_DP32(s->idr[1], IDR1, SSIDSIZE, f->ssidsize);
    s->idr[1] = FIELD_DP32(s->idr[1], IDR1, CMDQS, smmuv3_accel_cmdqv_log2size(
                               s->s_accel, FIELD_EX32(s->idr[1], IDR1, CMDQS)));
    /* The kernel does not say whether the host has it */
    s->idr[3] = FIELD_DP32(s->idr[3], IDR3, HAD, 0);
    s->idr[3] = FIELD_DP32(s->idr[3], IDR3, RIL, f->ril);
    s->idr[3] = FIELD_DP32(s->idr[3], IDR3, BBML, f->bbml);
    s->idr[5] = FIELD_DP32(s->idr[5], IDR5, OAS, f->oas);
    s->idr[5] = FIELD_DP32(s->idr[5], IDR5, VAX, f->vax);
}

/*
 * What the host must be able to do
 */

/* One requirement: @guest is what the guest is told, as in the registers */
typedef struct SMMUv3AccelCheck {
    const char *what;
    int host;
    int guest;
    bool ok;
    const char *advice;
} SMMUv3AccelCheck;

static bool smmuv3_accel_run_checks(const SMMUv3AccelCheck *checks, size_t num,
                                    Error **errp)
{
    for (size_t i = 0; i < num; i++) {
        const SMMUv3AccelCheck *c = &checks[i];

        if (!c->ok && c->guest != SMMUV3_ACCEL_AUTO) {
            error_setg(errp, "the host SMMU has %s %d, arm-smmuv3 with "
                       "accel=on needs %d: %s", c->what, c->host, c->guest,
                       c->advice);
            return false;
        }
    }
    return true;
}

/*
 * What the guest is always told.  The kernel lets user space rely on few bits
 * of the host's registers (see struct iommu_hw_info_arm_smmuv3).  Those of the
 * stages are not among them: whether there are two shows when the vIOMMU is
 * allocated.
 */
static bool smmuv3_accel_check_fixed(HostIOMMUDevice *hiod, Error **errp)
{
    static const char no_accel[] = "use accel=off, or another host";
    uint32_t *idr = hiod->caps.vendor_caps.smmuv3.idr;
    int ttendian = FIELD_EX32(idr[0], IDR0, TTENDIAN);
    int ttf = FIELD_EX32(idr[0], IDR0, TTF);
    int stall = FIELD_EX32(idr[0], IDR0, STALL_MODEL);
    int gran4k = FIELD_EX32(idr[5], IDR5, GRAN4K);
    int gran16k = FIELD_EX32(idr[5], IDR5, GRAN16K);
    int gran64k = FIELD_EX32(idr[5], IDR5, GRAN64K);
    const SMMUv3AccelCheck checks[] = {
        /* The guest writes CDs in little endian, and the host reads them */
        { "endianness (IDR0.TTENDIAN)", ttendian, IDR0_TTENDIAN_LITTLE,
          ttendian == IDR0_TTENDIAN_MIXED || ttendian == IDR0_TTENDIAN_LITTLE,
          no_accel },
        { "table formats (IDR0.TTF)", ttf, IDR0_TTF_AARCH64,
          ttf & IDR0_TTF_AARCH64, no_accel },
        /* Nobody would resume a stalled transaction */
        { "stall model (IDR0.STALL_MODEL)", stall, IDR0_STALL_NONE,
          stall < IDR0_STALL_FORCED, no_accel },
        { "4-KiB granules (IDR5.GRAN4K)", gran4k, 1, gran4k, no_accel },
        { "16-KiB granules (IDR5.GRAN16K)", gran16k, 1, gran16k, no_accel },
        { "64-KiB granules (IDR5.GRAN64K)", gran64k, 1, gran64k, no_accel },
    };

    return smmuv3_accel_run_checks(checks, ARRAY_SIZE(checks), errp);
}

/* What properties, or a device before this one, decided */
static bool smmuv3_accel_check_features(SMMUv3Accel *accel,
                                        HostIOMMUDevice *hiod, Error **errp)
{
    SMMUv3AccelFeatures *f = &accel->features;
    struct iommu_hw_info_arm_smmuv3 *info = &hiod->caps.vendor_caps.smmuv3;
    int ssidsize = FIELD_EX32(info->idr[1], IDR1, SSIDSIZE);
    int ril = FIELD_EX32(info->idr[3], IDR3, RIL);
    int bbml = FIELD_EX32(info->idr[3], IDR3, BBML);
    int asid16 = FIELD_EX32(info->idr[0], IDR0, ASID16);
    int cd2l = FIELD_EX32(info->idr[0], IDR0, CD2L);
    int oas = smmuv3_accel_host_oas(info);
    int vax = FIELD_EX32(info->idr[5], IDR5, VAX);
    int cmdqv = smmuv3_accel_cmdqv_host_queues(accel,
                                               HOST_IOMMU_DEVICE_IOMMUFD(hiod));
    const SMMUv3AccelCheck checks[] = {
        { "substream bits (IDR1.SSIDSIZE)", ssidsize, f->ssidsize,
          ssidsize >= f->ssidsize, "lower ssidsize=" },
        { "two-level CD tables (IDR0.CD2L)", cd2l, f->cd2l, cd2l >= f->cd2l,
          "have it there at start" },
        { "range invalidation (IDR3.RIL)", ril, f->ril, ril >= f->ril,
          "use ril=off" },
        { "output address bits (IDR5.OAS)", smmuv3_accel_oas_bits[oas],
          f->oas == SMMUV3_ACCEL_AUTO ? f->oas : smmuv3_accel_oas_bits[f->oas],
          oas >= f->oas, "lower oas=" },
        { "16-bit ASIDs (IDR0.ASID16)", asid16, f->asid16, asid16 >= f->asid16,
          "have it there at start" },
        { "break-before-make level (IDR3.BBML)", bbml, f->bbml,
          bbml >= f->bbml, "have it there at start" },
        { "virtual address bits (IDR5.VAX)", vax, f->vax, vax >= f->vax,
          "have it there at start" },
        { "command queues for guests (CMDQV, without an erratum)", cmdqv,
          f->cmdqv, cmdqv >= f->cmdqv, "use cmdqv=off" },
    };

    return smmuv3_accel_run_checks(checks, ARRAY_SIZE(checks), errp);
}

static bool smmuv3_accel_supports_host(void *opaque, HostIOMMUDevice *hiod,
                                       Error **errp)
{
    SMMUv3Accel *accel = ARM_SMMUV3(opaque)->s_accel;

    if (!object_dynamic_cast(OBJECT(hiod), TYPE_HOST_IOMMU_DEVICE_IOMMUFD)) {
        error_setg(errp, "arm-smmuv3 with accel=on needs an iommufd behind "
                   "each host device: add iommufd= to this device");
        return false;
    }
    if (hiod->caps.type != IOMMU_HW_INFO_TYPE_ARM_SMMUV3) {
        error_setg(errp, "host IOMMU is of type %u, arm-smmuv3 with accel=on "
                   "needs type %u (Arm SMMUv3): use accel=off, or another host",
                   hiod->caps.type, IOMMU_HW_INFO_TYPE_ARM_SMMUV3);
        return false;
    }
    return smmuv3_accel_check_fixed(hiod, errp) &&
           smmuv3_accel_check_features(accel, hiod, errp);
}

/*
 * Who may sit behind it
 */

/* Its only requests are MSIs, which are not translated here */
static bool smmuv3_accel_is_bridge(PCIDevice *dev)
{
    return object_dynamic_cast(OBJECT(dev), TYPE_PCI_BRIDGE) ||
           PCI_DEVICE_GET_CLASS(dev)->class_id == PCI_CLASS_BRIDGE_HOST;
}

static bool smmuv3_accel_supports_device(void *opaque, PCIDevice *dev,
                                         Error **errp)
{
    if (smmuv3_accel_is_bridge(dev)) {
        return true;
    }
    if (!pci_is_host_device(dev)) {
        error_setg(errp, "%s is an emulated device, but QEMU does not walk the "
                   "tables behind an arm-smmuv3 with accel=on: put it on a "
                   "bus without one",
                   object_get_typename(OBJECT(dev)));
        return false;
    }
    if (!object_property_get_link(OBJECT(dev), "iommufd", NULL)) {
        error_setg(errp, "arm-smmuv3 with accel=on needs an iommufd behind "
                   "each host device: add -object iommufd,id=iommufd0 and "
                   "iommufd=iommufd0 to this device");
        return false;
    }
    return true;
}

static bool smmuv3_accel_is_early(PCIDevice *dev)
{
    return !smmuv3_accel_is_bridge(dev);
}

/*
 * What PCI and VFIO ask
 */

static AddressSpace *smmuv3_accel_get_address_space(PCIBus *bus, void *opaque,
                                                    int devfn)
{
    return &address_space_memory;
}

static AddressSpace *smmuv3_accel_get_nesting_as(void *opaque, PCIDevice *dev)
{
    return &smmuv3_accel_as;
}

static uint64_t smmuv3_accel_get_flags(void *opaque, PCIDevice *dev)
{
    return pci_is_host_device(dev) ?
           VIOMMU_FLAG_WANT_NESTING_PARENT | VIOMMU_FLAG_OWN_NESTING_PARENT : 0;
}

/*
 * PASIDs are substreams, which the guest's own CD tables translate: the parent
 * needs no support for them.  VFIO asks after it has set the device, which
 * decides what ssidsize=auto is.
 */
static uint8_t smmuv3_accel_get_pasid_bits(void *opaque, PCIDevice *dev)
{
    int bits = ARM_SMMUV3(opaque)->s_accel->features.ssidsize;

    return pci_is_host_device(dev) ? MAX(bits, 0) : 0;
}

static AddressSpace *smmuv3_accel_get_msi_as(PCIBus *bus, void *opaque,
                                             int devfn)
{
    return smmuv3_accel_msi_address_space();
}

static bool smmuv3_accel_set_device(PCIBus *bus, void *opaque, int devfn,
                                    HostIOMMUDevice *hiod, Error **errp)
{
    SMMUv3Accel *accel = ARM_SMMUV3(opaque)->s_accel;

    if (!smmuv3_accel_stream_add(accel, bus, devfn, hiod, errp)) {
        return false;
    }
    if (!phase_check(PHASE_MACHINE_READY)) {
        smmuv3_accel_freeze(accel, hiod);
        smmuv3_accel_cmdqv_freeze(accel, hiod);
    }
    return true;
}

static void smmuv3_accel_unset_device(PCIBus *bus, void *opaque, int devfn)
{
    smmuv3_accel_stream_del(ARM_SMMUV3(opaque)->s_accel, bus, devfn);
}

static const PCIIOMMUOps smmuv3_accel_ops = {
    .get_address_space = smmuv3_accel_get_address_space,
    .set_iommu_device = smmuv3_accel_set_device,
    .unset_iommu_device = smmuv3_accel_unset_device,
    .get_host_device_flags = smmuv3_accel_get_flags,
    .get_nesting_address_space = smmuv3_accel_get_nesting_as,
    .get_pasid_bits = smmuv3_accel_get_pasid_bits,
    .supports_device = smmuv3_accel_supports_device,
    .supports_host_iommu = smmuv3_accel_supports_host,
    .get_msi_address_space = smmuv3_accel_get_msi_as,
};

/*
 * The SMMU itself
 */

/* The guest's memory does not change while the VM is stopped */
static void smmuv3_accel_vm_state(void *opaque, bool running, RunState state)
{
    smmuv3_accel_event_poll(opaque);
    smmuv3_accel_cmdqv_poll(opaque);
}

static bool smmuv3_accel_check_props(SMMUv3State *s, SMMUv3AccelFeatures *f,
                                     Error **errp)
{
    PCIBus *bus = ARM_SMMU(s)->primary_bus;
    PCIDevice *early;

    if (s->stage && strcmp(s->stage, "1")) {
        error_setg(errp, "stage=%s is not possible with accel=on: stage 2 is "
                   "the host's", s->stage);
        return false;
    }
    /* Modes follow each other as the encodings of OAS and SSIDSIZE do */
    QEMU_BUILD_BUG_ON(OAS_MODE_48 - OAS_MODE_32 != SMMUV3_ACCEL_OAS_MAX);
    QEMU_BUILD_BUG_ON(OAS_MODE_AUTO - OAS_MODE_32 != SMMUV3_ACCEL_AUTO);
    QEMU_BUILD_BUG_ON(SSID_SIZE_MODE_AUTO - SSID_SIZE_MODE_0 !=
                      SMMUV3_ACCEL_AUTO);
    f->oas = (int)s->oas - OAS_MODE_32;
    f->ssidsize = (int)s->ssidsize - SSID_SIZE_MODE_0;
    f->ril = smmuv3_accel_on_off(s->ril);
    f->ats = smmuv3_accel_on_off(s->ats);
    f->cd2l = f->asid16 = f->bbml = f->vax = SMMUV3_ACCEL_AUTO;
    f->cmdqv = smmuv3_accel_on_off(s->cmdqv);

    early = bus ? pci_viommu_find_early(bus, smmuv3_accel_is_early) : NULL;
    if (early) {
        error_setg(errp, "%s was on bus %s before its arm-smmuv3 with "
                   "accel=on: name the SMMU first, and no emulated device on "
                   "that bus (-nodefaults leaves out the default ones)",
                   object_get_typename(OBJECT(early)), BUS(bus)->name);
        return false;
    }
    return true;
}

bool smmuv3_accel_realize(SMMUv3State *s, Error **errp)
{
    SMMUv3AccelFeatures features;
    SMMUv3Accel *accel;

    if (!s->accel) {
        if (s->ril != ON_OFF_AUTO_AUTO || s->ats != ON_OFF_AUTO_AUTO ||
            s->oas != OAS_MODE_AUTO || s->ssidsize != SSID_SIZE_MODE_AUTO) {
            error_setg(errp, "ril=, ats=, oas= and ssidsize= need accel=on");
            return false;
        }
        return true;
    }
    /* The machine's own is made before anything that the user adds */
    if (!phase_check(PHASE_MACHINE_INITIALIZED)) {
        error_setg(errp, "accel=on is for an SMMU that is added with -device "
                   "arm-smmuv3: the machine does not describe the MSIs of "
                   "host devices behind its own to the guest (RMR): leave out "
                   "iommu=smmuv3 and -global arm-smmuv3.accel=on");
        return false;
    }
    if (!smmuv3_accel_check_props(s, &features, errp)) {
        return false;
    }

    accel = g_new0(SMMUv3Accel, 1);
    accel->s = s;
    accel->features = features;
    error_setg(&accel->migration_blocker, "arm-smmuv3 with accel=on: the state "
               "of the host SMMU cannot be saved");
    if (migrate_add_blocker(&accel->migration_blocker, errp)) {
        g_free(accel);
        return false;
    }
    accel->veventq.fd = -1;
    smmuv3_accel_stream_init(accel);
    accel->machine_done.notify = smmuv3_accel_machine_done;
    qemu_add_machine_init_done_notifier(&accel->machine_done);
    qemu_add_vm_change_state_handler(smmuv3_accel_vm_state, accel);

    if (!smmuv3_accel_as.root) {
        address_space_init(&smmuv3_accel_as, get_system_memory(),
                           "smmuv3-nesting");
    }
    s->s_accel = accel;
    ARM_SMMU(s)->iommu_ops = &smmuv3_accel_ops;
    return true;
}

bool smmuv3_accel_realize_sysbus(SMMUv3State *s, Error **errp)
{
    return !s->s_accel || smmuv3_accel_cmdqv_realize(s->s_accel, errp);
}

void smmuv3_accel_refresh_all(SMMUv3State *s)
{
    if (s->s_accel) {
        smmuv3_accel_stream_refresh_range(s->s_accel, 0, UINT32_MAX, false);
    }
}

void smmuv3_accel_update_eventq(SMMUv3State *s)
{
    if (s->s_accel) {
        smmuv3_accel_event_update(s->s_accel);
    }
}

SMMUCmdError smmuv3_accel_command(SMMUv3State *s, const Cmd *cmd)
{
    if (!s->s_accel) {
        return SMMU_CERROR_NONE;
    }
    s->s_accel->num_commands++;
    return smmuv3_accel_cmd_run(s->s_accel, cmd);
}

bool smmuv3_accel_take_commands(SMMUv3State *s)
{
    return s->s_accel && smmuv3_accel_cmd_take(s->s_accel);
}

bool smmuv3_accel_read_command(SMMUv3State *s, Cmd *cmd)
{
    return s->s_accel && smmuv3_accel_cmd_read(s->s_accel, cmd);
}

void smmuv3_accel_flush(SMMUv3State *s)
{
    if (s->s_accel) {
        s->s_accel->ahead.num = 0;
        smmuv3_accel_stream_send(s->s_accel);
    }
}

/* What a stream is attached to, for people */
static const char *smmuv3_accel_attached_to(SMMUv3AccelStream *st)
{
    uint32_t hwpt_id = st->binding.hwpt_id;

    return !hwpt_id ? "detached" :
           hwpt_id == st->s1_hwpt_id ? "stage 1" :
           hwpt_id == st->accel->bypass_hwpt_id ? "bypass" : "abort";
}

char *smmuv3_accel_describe(SMMUv3State *s)
{
    GString *str = g_string_new(NULL);
    SMMUv3AccelStream *st;

    if (!s->s_accel) {
        return g_string_free(str, false);
    }
    QLIST_FOREACH(st, &s->s_accel->streams, next) {
        HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(st->host.hiodi);
        uint32_t *idr = hiod->caps.vendor_caps.smmuv3.idr;

        g_string_append_printf(str, "%s%s: host IDR0 0x%x IDR1 0x%x IDR3 0x%x "
                               "IDR5 0x%x, StreamID 0x%x, %s",
                               str->len ? "; " : "", hiod->name, idr[0],
                               idr[1], idr[3], idr[5],
                               smmuv3_accel_stream_sid(st),
                               smmuv3_accel_attached_to(st));
        if (st->s1_hwpt_id) {
            g_string_append_printf(str, " (STE 0x%" PRIx64 " 0x%" PRIx64
                                   ", HWPT %u on vIOMMU %u)", st->ste[0],
                                   st->ste[1], st->s1_hwpt_id,
                                   s->s_accel->viommu_id);
        }
    }
    return g_string_free(str, false);
}
