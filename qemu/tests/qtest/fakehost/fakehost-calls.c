/*
 * Fakehost: the one table of the ioctls of iommufd and VFIO: names, sizes,
 * what executes them in fake mode, and how their arguments are printed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>
#include "fakehost-model.h"

/* A log line that lists every entry stays readable, and bounded, up to here */
#define FH_PRINT_ENTRIES_MAX    4096

#define FIELD(s, m, f) \
    { #m, offsetof(struct s, m), sizeof(((struct s *)NULL)->m), f }
#define IN(s, m)        FIELD(s, m, FH_FIELD_IN)
#define INX(s, m)       FIELD(s, m, FH_FIELD_IN | FH_FIELD_HEX)
#define OUT(s, m)       FIELD(s, m, FH_FIELD_OUT)
#define OUTX(s, m)      FIELD(s, m, FH_FIELD_OUT | FH_FIELD_HEX)
#define UPTO(s, m) \
    (offsetof(struct s, m) + sizeof(((struct s *)NULL)->m))

static void fh_print_hwpt_data(FhText *t, const void *arg)
{
    const struct fh_iommu_hwpt_alloc *cmd = arg;
    const void *data = (const void *)(uintptr_t)cmd->data_uptr;

    if (!data) {
        return;
    }
    if (cmd->data_type == FH_DATA_VTD_S1 &&
        cmd->data_len >= sizeof(struct fh_hwpt_vtd_s1)) {
        const struct fh_hwpt_vtd_s1 *s1 = data;

        fh_text_printf(t, " s1=[flags=0x%llx,pgtbl=0x%llx,width=%u]",
                       (unsigned long long)s1->flags,
                       (unsigned long long)s1->pgtbl_addr, s1->addr_width);
    } else if (cmd->data_type == FH_DATA_ARM_SMMUV3 &&
               cmd->data_len >= sizeof(struct fh_hwpt_arm_smmuv3)) {
        const struct fh_hwpt_arm_smmuv3 *s1 = data;

        fh_text_printf(t, " ste=[0x%llx,0x%llx]",
                       (unsigned long long)s1->ste[0],
                       (unsigned long long)s1->ste[1]);
    }
}

/*
 * The kinds of entry have different sizes and nothing in the call says which
 * is meant but the data type, whose numbers belong to the same enumeration.
 */
static void fh_print_entries(FhText *t, const void *arg)
{
    const struct fh_iommu_hwpt_invalidate *cmd = arg;
    uint32_t shown = cmd->entry_num;

    /* Where the kernel does not look, there may be nothing to see */
    if (!cmd->data_uptr || cmd->entry_num > FH_INVALIDATE_ENTRIES_MAX) {
        return;
    }
    fh_text_printf(t, " entries=[");
    if (shown > FH_PRINT_ENTRIES_MAX) {
        shown = FH_PRINT_ENTRIES_MAX;
    }
    for (uint32_t i = 0; i < shown; i++) {
        const void *e = (const char *)(uintptr_t)cmd->data_uptr +
                        (size_t)i * cmd->entry_len;

        if (cmd->data_type == FH_INVALIDATE_VTD_S1 &&
            cmd->entry_len >= sizeof(struct fh_vtd_s1_invalidate)) {
            const struct fh_vtd_s1_invalidate *inv = e;

            fh_text_printf(t, "%s0x%llx:0x%llx:%u", i ? "," : "",
                           (unsigned long long)inv->addr,
                           (unsigned long long)inv->npages, inv->flags);
        } else if (cmd->data_type == FH_INVALIDATE_ARM_SMMUV3 &&
                   cmd->entry_len >= sizeof(struct fh_arm_smmuv3_invalidate)) {
            const struct fh_arm_smmuv3_invalidate *inv = e;

            fh_text_printf(t, "%s0x%llx:0x%llx", i ? "," : "",
                           (unsigned long long)inv->cmd[0],
                           (unsigned long long)inv->cmd[1]);
        }
    }
    fh_text_printf(t, "%s]", shown < cmd->entry_num ? ",..." : "");
}

/* The pasid field is there only when the flag, bit 0 of both, says so */
static void fh_print_attach_pasid(FhText *t, const void *arg)
{
    const struct fh_vfio_attach_pt *cmd = arg;

    if (cmd->flags & FH_ATTACH_PASID && cmd->argsz >= sizeof(*cmd)) {
        fh_text_printf(t, " pasid=%u", cmd->pasid);
    }
}

static void fh_print_detach_pasid(FhText *t, const void *arg)
{
    const struct fh_vfio_detach_pt *cmd = arg;

    if (cmd->flags & FH_DETACH_PASID && cmd->argsz >= sizeof(*cmd)) {
        fh_text_printf(t, " pasid=%u", cmd->pasid);
    }
}

/* A call of iommufd: its structure, up to which field it must be there */
#define IOMMUFD(nr, type, last, fn) \
    .cmd = nr, .size = sizeof(struct type), .min_size = UPTO(type, last), \
    .iommufd = fn
/* A call of a VFIO device */
#define DEVICE(nr, type, last, fn) \
    .cmd = nr, .min_size = UPTO(type, last), .device = fn
#define FIELDS(...)     .fields = (const FhField[]) { __VA_ARGS__, { NULL } }

static const FhCall fh_calls[] = {
    {
        "IOMMU_DESTROY", FH_CALL_NOFAIL,
        IOMMUFD(IOMMU_DESTROY, iommu_destroy, id, fh_destroy),
        FIELDS(IN(iommu_destroy, id)),
    }, {
        "IOMMU_IOAS_ALLOC",
        IOMMUFD(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, out_ioas_id,
                fh_ioas_alloc),
        FIELDS(INX(iommu_ioas_alloc, flags),
               OUT(iommu_ioas_alloc, out_ioas_id)),
    }, {
        "IOMMU_IOAS_ALLOW_IOVAS",
        IOMMUFD(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, allowed_iovas,
                fh_ioas_allow_iovas),
        FIELDS(IN(iommu_ioas_allow_iovas, ioas_id),
               IN(iommu_ioas_allow_iovas, num_iovas)),
    }, {
        "IOMMU_IOAS_COPY",
        IOMMUFD(IOMMU_IOAS_COPY, iommu_ioas_copy, src_iova, fh_ioas_copy),
        FIELDS(INX(iommu_ioas_copy, flags),
               IN(iommu_ioas_copy, dst_ioas_id),
               IN(iommu_ioas_copy, src_ioas_id),
               INX(iommu_ioas_copy, length),
               INX(iommu_ioas_copy, dst_iova),
               INX(iommu_ioas_copy, src_iova)),
    }, {
        "IOMMU_IOAS_IOVA_RANGES", FH_CALL_ANSWERS,
        IOMMUFD(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges,
                out_iova_alignment, fh_ioas_iova_ranges),
        FIELDS(IN(iommu_ioas_iova_ranges, ioas_id),
               OUT(iommu_ioas_iova_ranges, num_iovas)),
    }, {
        "IOMMU_IOAS_MAP",
        IOMMUFD(IOMMU_IOAS_MAP, iommu_ioas_map, iova, fh_ioas_map),
        FIELDS(INX(iommu_ioas_map, flags),
               IN(iommu_ioas_map, ioas_id),
               INX(iommu_ioas_map, user_va),
               INX(iommu_ioas_map, length),
               INX(iommu_ioas_map, iova)),
    }, {
        "IOMMU_IOAS_MAP_FILE",
        IOMMUFD(FH_IOMMU_IOAS_MAP_FILE, fh_iommu_map_file, iova,
                fh_ioas_map_file),
        FIELDS(INX(fh_iommu_map_file, flags),
               IN(fh_iommu_map_file, ioas_id),
               IN(fh_iommu_map_file, fd),
               INX(fh_iommu_map_file, start),
               INX(fh_iommu_map_file, length),
               INX(fh_iommu_map_file, iova)),
    }, {
        "IOMMU_IOAS_UNMAP", FH_CALL_NOFAIL,
        IOMMUFD(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, length, fh_ioas_unmap),
        FIELDS(IN(iommu_ioas_unmap, ioas_id),
               INX(iommu_ioas_unmap, iova),
               INX(iommu_ioas_unmap, length)),
    }, {
        "IOMMU_OPTION",
        IOMMUFD(IOMMU_OPTION, iommu_option, val64, fh_option),
        FIELDS(IN(iommu_option, option_id), IN(iommu_option, op),
               IN(iommu_option, object_id)),
    }, {
        "IOMMU_HWPT_ALLOC",
        IOMMUFD(FH_IOMMU_HWPT_ALLOC, fh_iommu_hwpt_alloc, __reserved,
                fh_hwpt_alloc),
        FIELDS(INX(fh_iommu_hwpt_alloc, flags),
               IN(fh_iommu_hwpt_alloc, dev_id),
               IN(fh_iommu_hwpt_alloc, pt_id),
               IN(fh_iommu_hwpt_alloc, data_type),
               OUT(fh_iommu_hwpt_alloc, out_hwpt_id)),
        .print_data = fh_print_hwpt_data,
    }, {
        "IOMMU_GET_HW_INFO",
        IOMMUFD(FH_IOMMU_GET_HW_INFO, fh_iommu_hw_info, __reserved,
                fh_hw_info),
        FIELDS(INX(fh_iommu_hw_info, flags), IN(fh_iommu_hw_info, dev_id),
               IN(fh_iommu_hw_info, data_len),
               OUT(fh_iommu_hw_info, data_type),
               OUT(fh_iommu_hw_info, out_max_pasid_log2),
               OUTX(fh_iommu_hw_info, out_capabilities)),
    }, {
        "IOMMU_HWPT_SET_DIRTY_TRACKING",
        IOMMUFD(FH_IOMMU_SET_DIRTY_TRACKING, fh_iommu_set_dirty_tracking,
                __reserved, fh_hwpt_set_dirty),
        FIELDS(INX(fh_iommu_set_dirty_tracking, flags),
               IN(fh_iommu_set_dirty_tracking, hwpt_id)),
    }, {
        "IOMMU_HWPT_GET_DIRTY_BITMAP",
        IOMMUFD(FH_IOMMU_GET_DIRTY_BITMAP, fh_iommu_get_dirty_bitmap, data,
                fh_hwpt_get_dirty),
        FIELDS(INX(fh_iommu_get_dirty_bitmap, flags),
               IN(fh_iommu_get_dirty_bitmap, hwpt_id),
               INX(fh_iommu_get_dirty_bitmap, iova),
               INX(fh_iommu_get_dirty_bitmap, length)),
    }, {
        "IOMMU_HWPT_INVALIDATE", FH_CALL_ANSWERS,
        IOMMUFD(FH_IOMMU_HWPT_INVALIDATE, fh_iommu_hwpt_invalidate, __reserved,
                fh_hwpt_invalidate),
        FIELDS(IN(fh_iommu_hwpt_invalidate, hwpt_id),
               IN(fh_iommu_hwpt_invalidate, data_type),
               IN(fh_iommu_hwpt_invalidate, entry_num),
               { "handled", offsetof(struct fh_iommu_hwpt_invalidate,
                                     entry_num), 4, FH_FIELD_OUT }),
        .print_data = fh_print_entries,
    }, {
        "IOMMU_FAULT_QUEUE_ALLOC",
        IOMMUFD(FH_IOMMU_FAULT_QUEUE_ALLOC, fh_iommu_fault_alloc, out_fault_fd,
                fh_fault_alloc),
        FIELDS(INX(fh_iommu_fault_alloc, flags),
               OUT(fh_iommu_fault_alloc, out_fault_id),
               OUT(fh_iommu_fault_alloc, out_fault_fd)),
    }, {
        "IOMMU_VIOMMU_ALLOC",
        IOMMUFD(FH_IOMMU_VIOMMU_ALLOC, fh_iommu_viommu_alloc, out_viommu_id,
                fh_viommu_alloc),
        FIELDS(INX(fh_iommu_viommu_alloc, flags),
               IN(fh_iommu_viommu_alloc, type),
               IN(fh_iommu_viommu_alloc, dev_id),
               IN(fh_iommu_viommu_alloc, hwpt_id),
               IN(fh_iommu_viommu_alloc, data_len),
               OUT(fh_iommu_viommu_alloc, out_viommu_id)),
    }, {
        "IOMMU_VDEVICE_ALLOC",
        IOMMUFD(FH_IOMMU_VDEVICE_ALLOC, fh_iommu_vdevice_alloc, virt_id,
                fh_vdevice_alloc),
        FIELDS(IN(fh_iommu_vdevice_alloc, viommu_id),
               IN(fh_iommu_vdevice_alloc, dev_id),
               INX(fh_iommu_vdevice_alloc, virt_id),
               OUT(fh_iommu_vdevice_alloc, out_vdevice_id)),
    }, {
        "IOMMU_VEVENTQ_ALLOC",
        IOMMUFD(FH_IOMMU_VEVENTQ_ALLOC, fh_iommu_veventq_alloc, out_veventq_fd,
                fh_veventq_alloc),
        FIELDS(INX(fh_iommu_veventq_alloc, flags),
               IN(fh_iommu_veventq_alloc, viommu_id),
               IN(fh_iommu_veventq_alloc, type),
               IN(fh_iommu_veventq_alloc, veventq_depth),
               OUT(fh_iommu_veventq_alloc, out_veventq_id),
               OUT(fh_iommu_veventq_alloc, out_veventq_fd)),
    }, {
        "IOMMU_HW_QUEUE_ALLOC",
        IOMMUFD(FH_IOMMU_HW_QUEUE_ALLOC, fh_iommu_hw_queue_alloc, length,
                fh_hw_queue_alloc),
        FIELDS(INX(fh_iommu_hw_queue_alloc, flags),
               IN(fh_iommu_hw_queue_alloc, viommu_id),
               IN(fh_iommu_hw_queue_alloc, type),
               IN(fh_iommu_hw_queue_alloc, index),
               INX(fh_iommu_hw_queue_alloc, nesting_parent_iova),
               INX(fh_iommu_hw_queue_alloc, length),
               OUT(fh_iommu_hw_queue_alloc, out_hw_queue_id)),
    }, {
        "VFIO_DEVICE_GET_INFO",
        DEVICE(VFIO_DEVICE_GET_INFO, vfio_device_info, num_irqs,
               fh_vfio_get_info),
        FIELDS(OUTX(vfio_device_info, flags)),
    }, {
        "VFIO_DEVICE_GET_REGION_INFO",
        DEVICE(VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, offset,
               fh_vfio_get_region_info),
        FIELDS(IN(vfio_region_info, index), OUTX(vfio_region_info, flags),
               OUTX(vfio_region_info, size)),
    }, {
        "VFIO_DEVICE_GET_IRQ_INFO",
        DEVICE(VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info, count,
               fh_vfio_get_irq_info),
        FIELDS(IN(vfio_irq_info, index), OUT(vfio_irq_info, count)),
    }, {
        "VFIO_DEVICE_SET_IRQS",
        DEVICE(VFIO_DEVICE_SET_IRQS, vfio_irq_set, count, fh_vfio_set_irqs),
        FIELDS(INX(vfio_irq_set, flags), IN(vfio_irq_set, index),
               IN(vfio_irq_set, start), IN(vfio_irq_set, count)),
    }, {
        "VFIO_DEVICE_RESET", .cmd = VFIO_DEVICE_RESET,
        .device = fh_vfio_reset,
    }, {
        "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
        DEVICE(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, vfio_pci_hot_reset_info,
               count, fh_vfio_hot_reset_info),
        FIELDS(IN(vfio_pci_hot_reset_info, argsz),
               OUT(vfio_pci_hot_reset_info, count)),
    }, {
        "VFIO_DEVICE_PCI_HOT_RESET",
        DEVICE(VFIO_DEVICE_PCI_HOT_RESET, vfio_pci_hot_reset, count,
               fh_vfio_hot_reset),
        FIELDS(IN(vfio_pci_hot_reset, count)),
    }, {
        "VFIO_DEVICE_IOEVENTFD", .cmd = VFIO_DEVICE_IOEVENTFD,
    }, {
        "VFIO_DEVICE_FEATURE",
        DEVICE(VFIO_DEVICE_FEATURE, vfio_device_feature, flags,
               fh_vfio_feature),
        FIELDS(INX(vfio_device_feature, flags)),
    }, {
        "VFIO_DEVICE_BIND_IOMMUFD",
        DEVICE(FH_VFIO_BIND_IOMMUFD, fh_vfio_bind_iommufd, out_devid, NULL),
        FIELDS(IN(fh_vfio_bind_iommufd, iommufd),
               OUT(fh_vfio_bind_iommufd, out_devid)),
    }, {
        "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
        DEVICE(FH_VFIO_ATTACH_IOMMUFD_PT, fh_vfio_attach_pt, pt_id,
               fh_vfio_attach),
        FIELDS(INX(fh_vfio_attach_pt, flags), IN(fh_vfio_attach_pt, pt_id)),
        .print_data = fh_print_attach_pasid,
    }, {
        "VFIO_DEVICE_DETACH_IOMMUFD_PT", FH_CALL_NOFAIL,
        DEVICE(FH_VFIO_DETACH_IOMMUFD_PT, fh_vfio_detach_pt, flags,
               fh_vfio_detach),
        FIELDS(INX(fh_vfio_detach_pt, flags)),
        .print_data = fh_print_detach_pasid,
    },
};

const FhCall *fh_call_find(unsigned long cmd)
{
    for (size_t i = 0; i < FH_ARRAY_SIZE(fh_calls); i++) {
        if (fh_calls[i].cmd == cmd) {
            return &fh_calls[i];
        }
    }
    return NULL;
}

bool fh_call_matches(const FhCall *call, const char *pattern)
{
    static const char *const prefixes[] = { "", "IOMMU_", "VFIO_DEVICE_" };

    if (!strcmp(pattern, "*")) {
        return !(call->flags & FH_CALL_NOFAIL);
    }
    for (size_t i = 0; i < FH_ARRAY_SIZE(prefixes); i++) {
        size_t n = strlen(prefixes[i]);

        if (!strncmp(call->name, prefixes[i], n) &&
            !strcmp(call->name + n, pattern)) {
            return true;
        }
    }
    return false;
}

static uint64_t fh_field_get(const FhField *f, const void *arg)
{
    const char *p = (const char *)arg + f->offset;
    uint64_t v64;
    uint32_t v32;
    uint8_t v8;

    switch (f->size) {
    case sizeof(v64):
        memcpy(&v64, p, sizeof(v64));
        return v64;
    case sizeof(v32):
        memcpy(&v32, p, sizeof(v32));
        return v32;
    default:
        memcpy(&v8, p, sizeof(v8));
        return v8;
    }
}

void fh_call_print(FhText *t, const FhCall *call, const void *arg,
                   unsigned which)
{
    if (!arg || !call->fields) {
        return;
    }
    for (const FhField *f = call->fields; f->name; f++) {
        if (f->flags & which) {
            fh_text_printf(t, f->flags & FH_FIELD_HEX ? " %s=0x%llx"
                                                      : " %s=%llu",
                           f->name, (unsigned long long)fh_field_get(f, arg));
        }
    }
    if ((which & FH_FIELD_IN) && call->print_data) {
        call->print_data(t, arg);
    }
}
