/*
 * VFIO devices behind a vIOMMU that nests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/sysmacros.h>
#include "qapi/error.h"
#include "hw/pci/pci_device.h"
#include "system/iommufd.h"
#include "system/iommufd-compat.h"
#include "nesting.h"

static uint64_t vfio_nesting_flags(VFIODevice *vbasedev)
{
    if (vbasedev->type != VFIO_DEVICE_TYPE_PCI) {
        return 0;
    }
    return pci_device_get_viommu_flags(PCI_DEVICE(vbasedev->dev));
}

/*
 * The number of the IOMMU group of a device, NULL if sysfs does not tell it.  A
 * device that was given as an open file has no path there, but a number.
 */
static char *vfio_nesting_group(VFIODevice *vbasedev)
{
    g_autofree char *link = NULL, *group = NULL;
    struct stat st;

    if (vbasedev->sysfsdev) {
        link = g_strdup_printf("%s/iommu_group", vbasedev->sysfsdev);
    } else if (!fstat(vbasedev->fd, &st) && S_ISCHR(st.st_mode)) {
        link = g_strdup_printf("/sys/dev/char/%u:%u/device/iommu_group",
                               major(st.st_rdev), minor(st.st_rdev));
    }
    group = link ? g_file_read_link(link, NULL) : NULL;
    return group ? g_path_get_basename(group) : NULL;
}

/*
 * Is a device nested that was attached some time ago?  Its bus cannot be asked:
 * one that is being unplugged has left it, and is attached for a while yet.
 */
static bool vfio_nesting_attached(const VFIODevice *vbasedev)
{
    return vbasedev->hwpt &&
           vbasedev->hwpt->hwpt_flags & IOMMU_HWPT_ALLOC_NEST_PARENT;
}

/*
 * Attaching one device of a group attaches them all.  A guest that configures
 * them one by one would not get what it asks for, so a device of a group can
 * be nested only if it is the only one that is assigned.
 */
static bool vfio_nesting_check_group(VFIODevice *vbasedev, Error **errp)
{
    g_autofree char *group = vfio_nesting_group(vbasedev);
    VFIODevice *other;

    QLIST_FOREACH(other, &vfio_device_list, global_next) {
        g_autofree char *other_group = NULL;

        /* A mediated device has no host IOMMU, so no group that is one's */
        if (other->mdev || (!vfio_device_is_nested(vbasedev) &&
                            !vfio_nesting_attached(other))) {
            continue;
        }
        other_group = vfio_nesting_group(other);
        if (!group || !other_group) {
            error_setg(errp, "it may share its IOMMU group with %s, which is "
                       "assigned already: QEMU cannot read the group of %s "
                       "in /sys", other->name,
                       group ? other->name : vbasedev->name);
            return false;
        }
        if (g_str_equal(group, other_group)) {
            error_setg(errp, "it shares IOMMU group %s with %s, which is "
                       "assigned already: the vIOMMU needs groups of one "
                       "device, assign only one of them", group, other->name);
            return false;
        }
    }
    return true;
}

bool vfio_nesting_check_device(VFIODevice *vbasedev, Error **errp)
{
    if (vbasedev->type != VFIO_DEVICE_TYPE_PCI) {
        return true;
    }
    if (vbasedev->mdev) {
        if (vfio_device_is_nested(vbasedev)) {
            error_setg(errp, "a mediated device has no host IOMMU that could "
                       "walk the guest's stage-1 tables: assign a whole "
                       "device or a virtual function");
            return false;
        }
        return true;
    }
    return vfio_nesting_check_group(vbasedev, errp) &&
           pci_device_viommu_supports_host(PCI_DEVICE(vbasedev->dev),
                                           vbasedev->hiod, errp);
}

bool vfio_nesting_bypass_ro(VFIODevice *vbasedev)
{
    HostIOMMUDeviceCaps *caps;

    if (!vfio_device_is_nested(vbasedev)) {
        return false;
    }
    caps = &vbasedev->hiod->caps;
    return pci_device_get_host_iommu_quirks(PCI_DEVICE(vbasedev->dev),
                                            caps->type, &caps->vendor_caps,
                                            sizeof(caps->vendor_caps)) &
           HOST_IOMMU_QUIRK_NESTING_PARENT_BYPASS_RO;
}

bool vfio_nesting_check_container(VFIODevice *vbasedev,
                                  const VFIOContainerBase *bcontainer,
                                  Error **errp)
{
    if (bcontainer->bypass_ro || !vfio_nesting_bypass_ro(vbasedev)) {
        return true;
    }
    error_setg(errp, "its host IOMMU must not map memory read-only (on VT-d "
               "that is erratum 772415), as was done for %s, whose host IOMMU "
               "may: plug this device first, or put it elsewhere in the host",
               QLIST_FIRST(&bcontainer->device_list)->name);
    return false;
}

const void *vfio_nesting_viommu(VFIODevice *vbasedev)
{
    if (!(vfio_nesting_flags(vbasedev) & VIOMMU_FLAG_OWN_NESTING_PARENT)) {
        return NULL;
    }
    return pci_device_get_viommu(PCI_DEVICE(vbasedev->dev));
}

bool vfio_nesting_hwpt_fits(VFIODevice *vbasedev, const VFIOIOASHwpt *hwpt)
{
    uint64_t wants = vfio_nesting_flags(vbasedev);

    if (hwpt->viommu != vfio_nesting_viommu(vbasedev)) {
        return false;
    }
    /* A HWPT that was allocated without the flag cannot get it later */
    return !(wants & VIOMMU_FLAG_PASID_SUPPORTED) ||
           !vbasedev->hiod->caps.max_pasid_log2 ||
           hwpt->hwpt_flags & IOMMU_HWPT_ALLOC_PASID;
}

static bool vfio_nesting_try_alloc(VFIODevice *vbasedev, uint32_t ioas_id,
                                   uint32_t flags, uint32_t *hwpt_id,
                                   Error **errp)
{
    return iommufd_backend_alloc_hwpt(vbasedev->iommufd, vbasedev->devid,
                                      ioas_id, flags, IOMMU_HWPT_DATA_NONE, 0,
                                      NULL, hwpt_id, errp);
}

bool vfio_nesting_alloc_hwpt(VFIODevice *vbasedev, uint32_t ioas_id,
                             uint32_t *flags, uint32_t *hwpt_id,
                             Error **errp)
{
    ERRP_GUARD();
    HostIOMMUDeviceCaps *caps = &vbasedev->hiod->caps;
    uint64_t wants = vfio_nesting_flags(vbasedev);

    if (wants & VIOMMU_FLAG_WANT_NESTING_PARENT) {
        if (!(wants & VIOMMU_FLAG_WANT_NESTING_DIRTY_TRACKING)) {
            *flags &= ~IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
        }
        *flags |= IOMMU_HWPT_ALLOC_NEST_PARENT;
    }
    if (wants & VIOMMU_FLAG_PASID_SUPPORTED) {
        uint32_t with_pasid = *flags | IOMMU_HWPT_ALLOC_PASID;

        if (caps->max_pasid_log2) {
            *flags = with_pasid;
        } else if (vfio_nesting_try_alloc(vbasedev, ioas_id, with_pasid,
                                          hwpt_id, NULL)) {
            /* It has no use for the flag, but devices that join it may have */
            *flags = with_pasid;
            return true;
        }
    }
    if (vfio_nesting_try_alloc(vbasedev, ioas_id, *flags, hwpt_id, errp)) {
        return true;
    }

    /*
     * The VT-d registers that Linux reports are those of the hardware, however
     * it was booted; those of an SMMUv3 do not tell which stages it has.
     */
    if (*flags & IOMMU_HWPT_ALLOC_NEST_PARENT) {
        error_prepend(errp, "the host allocates no nesting parent: %s: ",
                      caps->type == IOMMU_HW_INFO_TYPE_INTEL_VTD ?
                      "boot it with intel_iommu=on,sm_on" :
                      "its IOMMU needs both stages of translation");
    }
    return false;
}
