/*
 * A guest's side of VT-d in scalable mode, driven by a qtest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VTD_GUEST_H
#define VTD_GUEST_H

#include "../libqtest.h"

/* Granularities, as in the descriptors (VT-d 6.5.2) */
enum {
    VTD_CC_GLOBAL = 1, VTD_CC_DOMAIN = 2, VTD_CC_DEVICE = 3,
    VTD_IOTLB_GLOBAL = 1, VTD_IOTLB_DOMAIN = 2, VTD_IOTLB_PAGE = 3,
    VTD_PIOTLB_PASID = 2, VTD_PIOTLB_PAGE = 3,
    VTD_PC_DOMAIN = 0, VTD_PC_PASID = 1, VTD_PC_GLOBAL = 3,
};

/* Registers of faults and of page requests (VT-d 11.4) */
#define VTD_REG_ECAP    0x10
#define VTD_REG_FSTS    0x34
#define VTD_REG_PQH     0xc0
#define VTD_REG_PQT     0xc8
#define VTD_REG_PQA     0xd0
#define VTD_REG_PRS     0xdc
#define VTD_REG_PECTL   0xe0
#define VTD_REG_PEDATA  0xe4
#define VTD_REG_PEADDR  0xe8
#define VTD_REG_PEUADDR 0xec

#define VTD_ECAP_PRS    (1ull << 29)
#define VTD_ECAP_PDS    (1ull << 42)
#define VTD_PRS_PPR     1u
#define VTD_PRS_PRO     2u
#define VTD_PECTL_IP    (1u << 30)
#define VTD_PECTL_IM    (1u << 31)

/* Translation types of a PASID entry (VT-d 9.6) */
enum {
    VTD_PGTT_FIRST_STAGE = 1, VTD_PGTT_SECOND_STAGE = 2,
    VTD_PGTT_NESTED = 3, VTD_PGTT_PASS_THROUGH = 4,
};

/* Flags of VtdPasidEntry, at the place they have in the entry's third word */
#define VTD_PE_SRE      (1ull << 0)
#define VTD_PE_WPE      (1ull << 4)
#define VTD_PE_EAFE     (1ull << 7)

/* What a test says about a PASID entry */
typedef struct VtdPasidEntry {
    uint8_t pgtt;
    uint8_t fspm;               /* 0: 4-level, 1: 5-level */
    uint16_t domain_id;
    uint64_t table;             /* FSPTPTR */
    uint64_t flags;             /* VTD_PE_… */
} VtdPasidEntry;

typedef struct VtdGuest {
    QTestState *qts;
    uint64_t next_page;         /* guest memory, handed out page by page */
    uint64_t root;
    uint64_t queue;
    unsigned queue_slots;
    unsigned queue_width;       /* bytes of a descriptor: 16 or 32 */
    unsigned tail;              /* slot to write next */
    uint64_t status;            /* where wait descriptors write */
    uint32_t cookie;
} VtdGuest;

#define VTD_GUEST_RAM_MB        64
#define VTD_GUEST_TABLES        0x200000ull
#define VTD_GUEST_FSTS_DIR      0x40000000  /* any address: nobody walks it */

/* Entries of page tables: permissions are the flags of every entry */
#define VTD_PTE_FIRST_STAGE     7ull
#define VTD_PTE_SECOND_STAGE    3ull
#define VTD_PTE_PS              (1ull << 7)

/* A page table of either stage */
typedef struct VtdGuestTable {
    uint64_t root;
    unsigned levels;
    uint64_t flags;             /* VTD_PTE_…_STAGE */
    /* Its tables are reached through this second stage, at a distance */
    const struct VtdGuestTable *below;
    uint64_t offset;
} VtdGuestTable;

/**
 * vtd_guest_init: a guest with an empty root table and a queue
 * @tables: where its memory for tables begins
 * @width: bytes per descriptor, 16 or 32
 *
 * Nothing is told to the hardware yet.
 */
void vtd_guest_init(VtdGuest *g, QTestState *qts, uint64_t tables,
                    unsigned width);

/*
 * Program root table and queue, enable both and translation. May be repeated,
 * after a reset or with translation off.
 */
void vtd_guest_enable(VtdGuest *g);

uint32_t vtd_guest_readl(VtdGuest *g, uint32_t reg);
uint64_t vtd_guest_readq(VtdGuest *g, uint32_t reg);
void vtd_guest_writel(VtdGuest *g, uint32_t reg, uint32_t value);
void vtd_guest_writeq(VtdGuest *g, uint32_t reg, uint64_t value);
/* Set or clear one enable bit in GCMD; waits for GSTS */
void vtd_guest_gcmd(VtdGuest *g, uint32_t bit, bool on);
void vtd_guest_set_translation(VtdGuest *g, bool on);
bool vtd_guest_translates(VtdGuest *g);
/* RTADDR and SRTP */
void vtd_guest_set_root(VtdGuest *g, uint64_t root, bool scalable);

uint64_t vtd_guest_alloc(VtdGuest *g);
/*
 * Make a context entry present, with an own, empty PASID directory.
 *
 * Returns: the address of the PASID directory
 */
uint64_t vtd_guest_add_context(VtdGuest *g, uint16_t sid, uint32_t rid_pasid);
/* Address of a context entry; its table is created if need be */
uint64_t vtd_guest_context(VtdGuest *g, uint16_t sid);
/* Address of a PASID entry; its table is created if need be */
uint64_t vtd_guest_pasid(VtdGuest *g, uint64_t dir, uint32_t pasid);
void vtd_guest_write_pasid(VtdGuest *g, uint64_t dir, uint32_t pasid,
                           const VtdPasidEntry *entry);
void vtd_guest_clear_pasid(VtdGuest *g, uint64_t dir, uint32_t pasid);

/* The same in a root table of legacy mode */
uint64_t vtd_guest_legacy_context(VtdGuest *g, uint64_t root, uint16_t sid);

/* Give @t, whose other members are set, an empty root */
void vtd_guest_add_table(VtdGuest *g, VtdGuestTable *t);
/* Address of the entry for @addr at @level; tables are created on the way */
uint64_t vtd_guest_pte(VtdGuest *g, const VtdGuestTable *t, uint64_t addr,
                       unsigned level);
/* Map a page of @level, overwriting what is there */
void vtd_guest_map(VtdGuest *g, const VtdGuestTable *t, uint64_t addr,
                   uint64_t target, unsigned level);
/* Of a page that an entry of @level maps */
static inline uint64_t vtd_guest_page_mask(unsigned level)
{
    return ~0ull << (3 + 9 * level);
}

/* Descriptors; none rings the doorbell */
void vtd_guest_post(VtdGuest *g, uint64_t lo, uint64_t hi);
void vtd_guest_post_cc(VtdGuest *g, unsigned granularity, uint16_t domain_id,
                       uint16_t source_id);
void vtd_guest_post_pc(VtdGuest *g, unsigned granularity, uint16_t domain_id,
                       uint32_t pasid);
void vtd_guest_post_iotlb(VtdGuest *g, unsigned granularity,
                          uint16_t domain_id, uint64_t addr, unsigned am);
void vtd_guest_post_piotlb(VtdGuest *g, unsigned granularity,
                           uint16_t domain_id, uint32_t pasid, uint64_t addr,
                           unsigned am, bool ih);
/* Returns the value that vtd_guest_wait() is to see */
uint32_t vtd_guest_post_wait(VtdGuest *g);

/* Write the tail register */
void vtd_guest_ring(VtdGuest *g);
/* Has the last wait descriptor completed? */
bool vtd_guest_waited(VtdGuest *g);
/* Post a wait descriptor, ring, and expect it to complete */
void vtd_guest_sync(VtdGuest *g);

/*
 * Invalidate by CCMD or the IOTLB's register, whose bit 63 starts it and reads
 * as 0 afterwards. The queue, without which that is not allowed, is disabled.
 */
void vtd_guest_invalidate(VtdGuest *g, uint32_t reg, uint64_t command);

/* A global PASID-cache invalidation, done */
void vtd_guest_flush_pasid_cache(VtdGuest *g);

#endif /* VTD_GUEST_H */
