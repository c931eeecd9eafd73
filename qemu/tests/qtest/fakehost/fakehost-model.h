/*
 * Fakehost: the fake kernel's objects.
 *
 * Lifetimes follow iommufd's: an object has a number of users besides its id,
 * IOMMU_DESTROY gives EBUSY while there are any, ids are the lowest free ones
 * and so come back soon after they were freed.
 *
 * Two views of an attachment are kept apart, because in the kernel they can
 * differ after a failure: the books (FhGroup.attach: what iommufd believes)
 * and the hardware (FhVfioDev.hw: what the IOMMU really translates by).
 *
 * Everything here is guarded by the library's one lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef FAKEHOST_MODEL_H
#define FAKEHOST_MODEL_H

#include "fakehost-internal.h"

#define FH_PAGE_SIZE        4096ull
#define FH_NO_PASID         0u
#define FH_CONFIG_SIZE      4096
/* Lists by PASID: a device may have thousands of them */
#define FH_PASID_LISTS      16384
#define FH_PASID_LIST(pasid) ((pasid) % FH_PASID_LISTS)

typedef struct FhCtx FhCtx;
typedef struct FhHwpt FhHwpt;
typedef struct FhIommu FhIommu;
typedef struct FhVfioDev FhVfioDev;
typedef struct FhViommu FhViommu;
typedef struct FhIdev FhIdev;

typedef struct FhObj {
    FhCtx *ctx;
    uint32_t type;              /* FAKEHOST_OBJ_… */
    uint32_t id;
    uint32_t users;             /* other than the id itself */
} FhObj;

/* An open /dev/iommu */
struct FhCtx {
    char name[FAKEHOST_NAME_LEN];
    FhObj **objs;               /* by id */
    uint32_t room;
    uint32_t low;               /* no lower id is free */
    uint32_t refs;              /* the file, and each bound device */
    struct FhGroup *groups;
};

typedef struct FhArea {
    uint64_t start;
    uint64_t last;
    uint64_t va;                /* user address; for files the offset */
    uint32_t flags;             /* IOMMU_IOAS_MAP_… */
    bool readonly;              /* its pages were pinned for reading only */
    bool file;
    int fd;                     /* of a file that is no dma-buf: its own */
    uint64_t file_size;         /* of one that can be pinned */
    uint32_t locks;             /* queues of the hardware that it has */
    FhVfioDev *peer;            /* whose BAR it is; va: offset in its file */
    uint32_t generation;        /* of the peer, when it was mapped */
} FhArea;

typedef struct FhReserved {
    uint64_t start;
    uint64_t last;
    const void *owner;
} FhReserved;

typedef struct FhIoas {
    FhObj obj;
    FhArea *areas;              /* sorted by start */
    uint32_t nr_areas;
    uint32_t room;
    FhReserved *reserved;
    uint32_t nr_reserved;
    uint32_t nr_hwpts;          /* paging HWPTs that are filled from it */
    uint32_t nr_no_readonly;    /* of those: refuse read-only mappings */
    uint64_t mapped_bytes;
} FhIoas;

/* A set of pages */
typedef struct FhPages {
    uint64_t *pages;
    uint32_t nr;
    uint32_t room;
} FhPages;

typedef struct FhFault {
    FhObj obj;
    int write_fd;
    ino_t ino;                  /* of the queue */
} FhFault;

struct FhHwpt {
    FhObj obj;
    FhIommu *iommu;             /* the unit it was allocated for */
    FhIoas *ioas;               /* paging only */
    FhHwpt *parent;             /* nested only: the S2 */
    FhViommu *viommu;           /* nested only: or NULL */
    FhFault *fault;
    bool nest_parent;
    bool pasid_compat;
    bool dirty;                 /* can track */
    bool dirty_on;
    FhPages dirty_pages;
    bool auto_domain;
    bool first_stage;           /* VT-d: paging by first-stage tables */
    bool force_coherence;
    bool incoherent_walk;       /* tables are flushed for a walker w/o snoop */
    bool sync_map;
    uint8_t width;
    uint64_t pgsizes;
    struct fh_hwpt_vtd_s1 vtd;
    struct fh_hwpt_arm_smmuv3 ste;
    uint64_t invalidations;     /* calls that were accepted */
};

struct FhViommu {
    FhObj obj;
    FhIommu *iommu;
    FhHwpt *parent;
    uint32_t type;              /* FH_VIOMMU_TYPE_… */
    int regs_fd;                /* of registers that it gives away, or -1 */
    uint64_t regs_at, regs_len; /* where they are in the iommufd */
};

typedef struct FhVdevice {
    FhObj obj;
    FhViommu *viommu;
    FhIdev *idev;
    uint64_t virt_id;
} FhVdevice;

typedef struct FhVeventq {
    FhObj obj;
    FhViommu *viommu;
    uint32_t type;
    uint32_t depth;
    int write_fd;
} FhVeventq;

/* A queue that the hardware reads from guest memory */
typedef struct FhHwQueue {
    FhObj obj;
    FhViommu *viommu;
    FhObj *access;              /* that locks its memory */
    struct FhHwQueue *prev;
    struct FakehostHwQueue *state;  /* in the control page, or NULL */
    bool ready;
    uint32_t index;
    uint64_t iova, length;
} FhHwQueue;

/* A group's attachment of one PASID: RID is FH_NO_PASID */
typedef struct FhAttach {
    struct FhAttach *next;
    uint32_t pasid;
    FhHwpt *hwpt;
    FhIdev **idevs;
    uint32_t nr_idevs;
} FhAttach;

typedef struct FhGroup {
    struct FhGroup *next;
    uint64_t number;
    uint32_t refs;
    FhAttach *attach[FH_PASID_LISTS];
    uint32_t nr_pasids;         /* that are attached, RID not counted */
} FhGroup;

/* A device bound to an iommufd */
struct FhIdev {
    FhObj obj;
    FhVfioDev *dev;
    FhGroup *group;
    FhVdevice *vdev;
};

/* What the hardware translates one PASID of a device by */
typedef struct FhHw {
    struct FhHw *next;
    uint32_t pasid;
    uint32_t pt_id;
} FhHw;

/* Result of a driver's attach: what became of the old translation */
typedef enum {
    FH_OLD_KEPT,
    FH_OLD_BLOCKED,
} FhOld;

/* What differs between the IOMMU drivers. All return 0 or -errno */
typedef struct FhVendor {
    const char *name;
    /* Parse one key=value of an "iommu" line; false if the key is unknown */
    bool (*parse)(FhIommu *iommu, const char *key, uint64_t value);
    /*
     * Point @data at what GET_HW_INFO reports; @type is, if it has several,
     * the one that is asked for
     */
    void (*hw_info)(FhIommu *iommu, uint32_t *type, const void **data,
                    uint32_t *len);
    bool (*can_track_dirty)(FhIommu *iommu);
    bool (*can_enforce_coherence)(FhIommu *iommu);
    int (*alloc_paging)(FhHwpt *hwpt, uint32_t flags);
    /* hwpt->parent or hwpt->viommu is set */
    int (*alloc_nested)(FhHwpt *hwpt, uint32_t flags, uint32_t type,
                        const void *data, uint32_t len);
    int (*attach)(FhHwpt *hwpt, FhIdev *idev, uint32_t pasid, FhOld *old);
    bool (*has_viommu)(FhIommu *iommu, uint32_t type);
    int (*viommu_init)(FhViommu *viommu,
                       const struct fh_iommu_viommu_alloc *cmd);
    int (*vdevice_init)(FhVdevice *vdev);
    /* Sets cmd->entry_num to the entries handled */
    int (*invalidate)(FhHwpt *hwpt, FhViommu *viommu,
                      struct fh_iommu_hwpt_invalidate *cmd);
    uint64_t msi_start;         /* reserved IOVA */
    uint64_t msi_last;
    bool msi_mapped;            /* the doorbell is in the device's tables */
    bool blocks;                /* DMA before it attaches, which may fail */
} FhVendor;

/* A host IOMMU */
struct FhIommu {
    char name[FAKEHOST_NAME_LEN];
    const FhVendor *vendor;
    FhIommu *next;
    struct fh_hw_info_vtd vtd;
    bool sm_off;                    /* VT-d: booted without scalable mode */
    struct fh_hw_info_arm_smmuv3 smmu;
    bool canwbs;                    /* SMMUv3: IORT's CANWBS */
    struct fh_hw_info_tegra241_cmdqv cmdqv; /* SMMUv3: if it has a version */
    uint32_t vintfs;                /* of it, free ones */
    uint64_t contiguous;            /* SMMUv3: see fakehost-config.c */
    uint64_t (*once)[2];            /* SMMUv3: given once, needed twice */
    uint32_t nr_once;
};

/* A host device, opened or not */
struct FhVfioDev {
    char name[FAKEHOST_NAME_LEN];
    FhVfioDev *next;
    FhIommu *iommu;
    struct FakehostDevice *state;   /* in the control page */
    uint64_t group;
    uint64_t slot;                  /* devices that a hot reset takes along */
    uint64_t pasid_bits;
    uint64_t pasid_exec, pasid_priv;
    uint64_t ext_caps;
    uint64_t ats;
    uint64_t pri;
    uint64_t coherent;
    uint64_t isolated_msi;
    uint64_t streams;
    uint64_t has_reset;
    uint64_t mdev;                  /* in sysfs only */
    uint64_t sysfs;                 /* is it there? */
    uint64_t vendor_id, device_id, class_code;
    uint64_t bar0_size;
    uint64_t bars;
    uint64_t msix;
    uint64_t migrate;               /* it can */
    uint32_t mig_state;             /* VFIO_DEVICE_STATE_… */
    int mig_fd;                     /* of its data, or -1 */
    uint64_t dmabuf;                /* it gives dma-bufs of its BAR */
    int fd;                         /* its file, while bound */
    uint32_t generation;            /* see fakehost-dmabuf.c */
    uint64_t log_dma;               /* it can */
    struct vfio_device_feature_dma_logging_range *log_ranges;
    uint32_t nr_log_ranges;         /* 0: it does not log */
    FhPages log_pages;
    uint8_t config[FH_CONFIG_SIZE];
    uint8_t wmask[FH_CONFIG_SIZE];
    FhIdev *idev;                   /* while bound */
    bool rid_attached;              /* VFIO's own flags: by the call without */
    bool pasid0_attached;           /* PASID, by the one for PASID 0 */
    FhHw *hw[FH_PASID_LISTS];
    uint32_t nr_pasids;         /* in hw, RID not counted */
};

/* --- fakehost-config.c --- */

/* Read the description of the host; complains and exits if it is wrong */
void fh_config_load(const char *path);
FhVfioDev *fh_config_device(const char *name);
FhVfioDev *fh_config_devices(void);
/* A number of the device's own */
unsigned fh_config_index(const FhVfioDev *dev);
extern const FhVendor fh_vendor_vtd;
extern const FhVendor fh_vendor_smmuv3;
extern const FhVendor fh_vendor_none;

/* --- fakehost-migration.c --- */

void fh_migration_init(FhVfioDev *dev);
/* A reset of the device ends a transfer, and it runs again */
void fh_migration_reset(FhVfioDev *dev);
/* VFIO_DEVICE_FEATURE with its @len bytes of @data */
int fh_migration_feature(FhVfioDev *dev, uint32_t flags, void *data,
                         uint32_t len);

/* --- fakehost-dirty.c --- */

void fh_pages_clear(FhPages *set);
int fh_hwpt_set_dirty(FhCtx *ctx, void *cmd);
int fh_hwpt_get_dirty(FhCtx *ctx, void *cmd);
/* With a mapping goes what was known of its pages */
void fh_dirty_unmapped(const FhIoas *ioas, uint64_t start, uint64_t last);
/* VFIO_DEVICE_FEATURE_DMA_LOGGING_… with @len bytes of @data */
int fh_dma_log_feature(FhVfioDev *dev, uint32_t flags, void *data,
                       uint32_t len);
void fh_dma_log_reset(FhVfioDev *dev);
/* Carry out what FakehostControl.dma orders, if anything */
void fh_dma_run(void);

/* --- fakehost-dmabuf.c --- */

/* No mapping of a BAR outlives this */
void fh_dmabuf_revoke(FhVfioDev *dev);
/* VFIO_DEVICE_FEATURE_DMA_BUF: returns an open file, or -errno */
int fh_dmabuf_feature(FhVfioDev *dev, uint32_t flags, const void *data,
                      uint32_t len);
/* Sets area->peer if @fd is a dma-buf; returns 0 or -errno */
int fh_dmabuf_map(int fd, uint64_t start, uint64_t len, FhArea *area);
/* DMA of another device */
int fh_dmabuf_write(const FhArea *area, uint64_t offset, const void *data,
                    size_t len);

/* --- fakehost-fault.c --- */

/*
 * @len bytes were read from @fd into @room bytes: requests that the kernel has
 * answered meanwhile are taken away, and a group that does not fit goes back.
 * Returns the bytes that are left, or -1 and errno.
 */
ssize_t fh_fault_read(int fd, void *buf, ssize_t len, size_t room);
/* False if @fd is no fault queue; *@ret: what write() returns, with errno */
bool fh_fault_write(int fd, const void *buf, size_t len, ssize_t *ret);
/* A device, or @idev NULL: every one, is detached: answer what waits */
void fh_fault_answer_all(const FhFault *fault, const FhIdev *idev,
                         uint32_t pasid);

/* --- fakehost-object.c --- */

FhCtx *fh_ctx_new(const char *name);
void fh_ctx_ref(FhCtx *ctx);
/* Drop a reference; the last one destroys what is left */
void fh_ctx_unref(FhCtx *ctx);
/* Has it any object? */
bool fh_ctx_used(const FhCtx *ctx);
/* Allocate an object with the lowest free id. It is visible at once */
void *fh_obj_new(FhCtx *ctx, uint32_t type, size_t size);
/* The object @id of @type (FAKEHOST_OBJ_NONE: any), or NULL */
void *fh_obj_get(FhCtx *ctx, uint32_t id, uint32_t type);
/* IOMMU_DESTROY */
int fh_obj_destroy(FhCtx *ctx, uint32_t id);
/* Free an object without looking at its users */
void fh_obj_free(FhObj *obj);
const char *fh_obj_type_name(uint32_t type);
/* Close the kernel's end of a queue; -1: there is none */
void fh_queue_close(int fd);
/* One log line per object that exists, in all contexts */
void fh_obj_log_left(void);
/* Bring FakehostControl.objects and areas up to date */
void fh_obj_publish(void);

/* --- fakehost-ioas.c --- */

int fh_ioas_reserve(FhIoas *ioas, uint64_t start, uint64_t last,
                    const void *owner);
void fh_ioas_unreserve(FhIoas *ioas, const void *owner);
/* Would every mapping be accepted by a HWPT that refuses read-only ones? */
bool fh_ioas_has_readonly(const FhIoas *ioas);
/* Can the pages of all mappings be pinned? */
int fh_ioas_check_pin(const FhIoas *ioas);
void fh_ioas_drop_all(FhIoas *ioas);
/* The mapping that @iova is in, or NULL */
const FhArea *fh_ioas_area(const FhIoas *ioas, uint64_t iova);
/* Is the whole range mapped? */
bool fh_ioas_covers(const FhIoas *ioas, uint64_t start, uint64_t last);
int fh_ioas_alloc(FhCtx *ctx, void *cmd);
int fh_ioas_iova_ranges(FhCtx *ctx, void *cmd);
int fh_ioas_allow_iovas(FhCtx *ctx, void *cmd);
int fh_ioas_map(FhCtx *ctx, void *cmd);
int fh_ioas_map_file(FhCtx *ctx, void *cmd);
int fh_ioas_copy(FhCtx *ctx, void *cmd);
int fh_ioas_unmap(FhCtx *ctx, void *cmd);

/*
 * Pin what is mapped there for a queue of the hardware: no unmapping until it
 * is unlocked. Returns 0 or -errno
 */
int fh_ioas_lock(FhIoas *ioas, uint64_t start, uint64_t last);
void fh_ioas_unlock(FhIoas *ioas, uint64_t start, uint64_t last);

/* --- fakehost-cmdqv.c --- */

bool fh_cmdqv_parse(FhIommu *iommu, const char *key, uint64_t value);
int fh_cmdqv_viommu_init(FhViommu *viommu,
                         const struct fh_iommu_viommu_alloc *cmd);
void fh_cmdqv_viommu_release(FhViommu *viommu);
int fh_cmdqv_vdevice_init(FhVdevice *vdev);
int fh_hw_queue_alloc(FhCtx *ctx, void *cmd);
void fh_hw_queue_release(FhHwQueue *queue);
/* mmap() of an iommufd: sets @viommu, returns 0 or -errno */
int fh_regs_find(FhCtx *ctx, size_t len, int prot, int flags, uint64_t at,
                 FhViommu **viommu);
/* It has been mapped; whatever was mapped there is not */
void fh_regs_mapped(FhViommu *viommu, const void *addr, size_t len);
void fh_regs_unmapped(const void *addr, size_t len);

/* --- fakehost-hwpt.c --- */

FhHwpt *fh_hwpt_new_auto(FhIoas *ioas, FhIdev *idev, int *err);
void fh_hwpt_release(FhHwpt *hwpt);
int fh_hwpt_alloc(FhCtx *ctx, void *cmd);
int fh_hwpt_invalidate(FhCtx *ctx, void *cmd);
int fh_viommu_alloc(FhCtx *ctx, void *cmd);
bool fh_viommu_has_vdevice(const FhViommu *viommu, uint64_t virt_id);
int fh_vdevice_alloc(FhCtx *ctx, void *cmd);
int fh_veventq_alloc(FhCtx *ctx, void *cmd);
int fh_fault_alloc(FhCtx *ctx, void *cmd);
int fh_hw_info(FhCtx *ctx, void *cmd);

/* --- fakehost-iommufd.c --- */

/* Returns 0 or -errno */
int fh_iommufd_ioctl(FhCtx *ctx, const FhCall *call, void *arg);
int fh_destroy(FhCtx *ctx, void *cmd);
int fh_option(FhCtx *ctx, void *cmd);

/* --- fakehost-attach.c --- */

int fh_bind(FhCtx *ctx, FhVfioDev *dev);
void fh_unbind(FhVfioDev *dev);
/* @replace: VFIO believes that there is an attachment to replace */
int fh_attach(FhVfioDev *dev, uint32_t pasid, uint32_t *pt_id, bool replace);
void fh_detach(FhVfioDev *dev, uint32_t pasid);
bool fh_is_attached(FhVfioDev *dev, uint32_t pasid);
/* In the books; NULL: nothing */
FhHwpt *fh_attached_hwpt(const FhIdev *idev, uint32_t pasid);
/* The driver lost an attach: the hardware blocks, the books stay */
void fh_attach_blocked(FhVfioDev *dev, uint32_t pasid);
/* What the hardware translates requests without PASID by; NULL: blocked */
FhHwpt *fh_hw_translation(FhVfioDev *dev);
/* Bring the device's part of the control page up to date */
void fh_device_publish(FhVfioDev *dev);

/* --- fakehost-vfio.c, fakehost-pci.c --- */

/* Remember, forget, look for addresses at which BARs are mapped */
void fh_bar_mapped(const void *addr, size_t len);
void fh_bar_unmapped(const void *addr, size_t len);
bool fh_bar_overlaps(uint64_t addr, uint64_t len);
int fh_vfio_ioctl(FhVfioDev *dev, int fd, bool *granted, const FhCall *call,
                  void *arg);
int fh_vfio_get_info(FhVfioDev *dev, void *cmd);
int fh_vfio_get_region_info(FhVfioDev *dev, void *cmd);
/* Bytes from the file's offset @at to the end of that BAR; 0: it is outside */
uint64_t fh_vfio_bar_left(FhVfioDev *dev, uint64_t at);
int fh_vfio_get_irq_info(FhVfioDev *dev, void *cmd);
int fh_vfio_set_irqs(FhVfioDev *dev, void *cmd);
int fh_vfio_reset(FhVfioDev *dev, void *cmd);
int fh_vfio_hot_reset_info(FhVfioDev *dev, void *cmd);
int fh_vfio_hot_reset(FhVfioDev *dev, void *cmd);
int fh_vfio_feature(FhVfioDev *dev, void *cmd);
int fh_vfio_attach(FhVfioDev *dev, void *cmd);
int fh_vfio_detach(FhVfioDev *dev, void *cmd);
void fh_pci_init(FhVfioDev *dev);
/* Is memory decode on, and the device in a state where it works? */
bool fh_pci_reachable(const FhVfioDev *dev);
/* Config space only; the BARs are the file's own bytes */
ssize_t fh_pci_config_rw(FhVfioDev *dev, void *buf, size_t count,
                         uint64_t offset, bool is_write);
#define FH_REGION_SHIFT     40
#define FH_REGION_OFFSET(i) ((uint64_t)(i) << FH_REGION_SHIFT)

/* --- fakehost-preload.c --- */

/* The iommufd context behind @fd, or NULL */
FhCtx *fh_file_ctx(int fd);
/* For the library itself: the C library's own names take the lock */
int fh_close(int fd);
ssize_t fh_pread(int fd, void *buf, size_t n, off64_t at);
ssize_t fh_pwrite(int fd, const void *buf, size_t n, off64_t at);
int fh_fstat(int fd, void *st);

#endif /* FAKEHOST_MODEL_H */
