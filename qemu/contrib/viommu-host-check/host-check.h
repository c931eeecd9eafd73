/*
 * viommu-host-check: can this host walk stage-1 tables of a guest?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VIOMMU_HOST_CHECK_H
#define VIOMMU_HOST_CHECK_H

#define REMEDY_SM_ON    "boot with intel_iommu=on,sm_on"
#define REMEDY_QEMU     "install a QEMU that can nest: viommu-nesting's " \
                        "\"make deb\" builds packages"

/* 1-GiB first-stage pages (VT-d 11.4.2) */
#define CAP_FS1GP   (1ULL << 56)

typedef enum HostIOMMUKind {
    HOST_IOMMU_NONE,
    HOST_IOMMU_VTD,
    HOST_IOMMU_SMMUV3,
    HOST_IOMMU_OTHER,
} HostIOMMUKind;

typedef enum HostVerdict {
    VERDICT_READY,      /* the kernel was asked, and nothing is in the way */
    VERDICT_MENDABLE,
    VERDICT_UNKNOWN,    /* whether it can be mended is not seen from here */
    VERDICT_IMPOSSIBLE,
} HostVerdict;

/* Something that stands in the way */
typedef struct HostProblem {
    char *what;
    char *remedy;       /* NULL: nothing on this host mends it */
    bool unknown;       /* it may be all right, but cannot be seen from here */
} HostProblem;

/* What was found out about the host as a whole */
typedef struct HostState {
    char *release;      /* of the kernel */
    char *cmdline;
    GHashTable *config; /* of the kernel, NULL if it cannot be read */
    uint64_t memlock;   /* limit in bytes; UINT64_MAX: none, or a copied host */
    bool iommufd;       /* /dev/iommu exists */
    char *qemu;         /* the program for VMs; NULL: by the kind of IOMMU */
    char *qemu_version; /* what it says, NULL if it was not asked */
    GPtrArray *problems;
} HostState;

/* One PCI device that is not a bridge */
typedef struct HostDevice {
    char *address;
    char *ids;          /* vendor:device */
    char *driver;       /* NULL: none */
    char *group;        /* NULL: none */
    char *iommu;        /* name in sysfs, NULL: none */
    char *cdev;         /* of VFIO, NULL: none */
    char *qemu;         /* the program for a VM on this kind of IOMMU */
    bool packaged;      /* @qemu stands beside the distribution's own */
    HostIOMMUKind kind;
    uint64_t cap, ecap; /* VT-d */
    bool probed;        /* the kernel allocated what nesting needs, or not */
    uint32_t idr[6];    /* SMMUv3, if @probed */
    uint8_t pasid_bits; /* if @probed */
    GPtrArray *problems;
} HostDevice;

/**
 * host_add_problem: note what stands in the way
 *
 * @problems: of a host or a device
 * @unknown: it is only possible that it does
 * @remedy: what mends it, or NULL
 * @fmt: what is wrong
 */
void host_add_problem(GPtrArray *problems, bool unknown, const char *remedy,
                      const char *fmt, ...) G_GNUC_PRINTF(4, 5);

/* host_drop_doubts: the kernel was asked, which answers what was unknown */
void host_drop_doubts(HostDevice *dev);

/**
 * host_read: look at the host
 *
 * @root: "" or the absolute path of a copy of its /proc, /sys, /boot and /dev
 */
HostState *host_read(const char *root);
void host_free(HostState *host);

/**
 * host_read_devices: look at its PCI devices, in the order of their addresses
 *
 * Returns: an array of HostDevice, none of which is probed.
 */
GPtrArray *host_read_devices(const char *root, HostState *host);

/* host_verdict: can a VM have this device behind a vIOMMU that nests? */
HostVerdict host_verdict(const HostState *host, const HostDevice *dev);

/**
 * probe_qemu: ask the program for VMs whether it can nest
 *
 * @dev: one of the devices; the IOMMUs of a host are of one kind
 */
void probe_qemu(HostState *host, const HostDevice *dev);

/**
 * probe_device: have the kernel allocate what nesting needs, and free it again
 *
 * As for a VM, the device is reset and its DMA blocked meanwhile; it is not
 * attached to any memory.
 *
 * @dev: a device that is bound to a VFIO driver
 */
void probe_device(HostDevice *dev);

#endif
