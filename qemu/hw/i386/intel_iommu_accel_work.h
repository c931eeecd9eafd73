/*
 * Intel VT-d: how much a guest can have done for host devices at once
 *
 * Concepts:
 *
 * work   what something costs, in reads of guest memory
 * piece  what is done without a turn for the main loop.  A piece has a budget
 *        of work; a long job checks vtd_accel_must_yield() between its
 *        steps, and goes on in the next piece
 *
 * Where nobody could go on later, at reset for example, there is no piece, and
 * everything is done at once.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_I386_INTEL_IOMMU_ACCEL_WORK_H
#define HW_I386_INTEL_IOMMU_ACCEL_WORK_H

/* The budget of one piece */
#define VTD_ACCEL_WORK_MAX      32768

/* About what an ioctl costs */
#define VTD_ACCEL_IOCTL_WORK    16

typedef struct VTDAccelWork {
    int64_t left;           /* may be below 0 */
    bool in_piece;
} VTDAccelWork;

/* vtd_accel_begin_piece: from here on, what is left can be done later */
static inline void vtd_accel_begin_piece(VTDAccelWork *work)
{
    work->in_piece = true;
}

/* vtd_accel_end_piece: all is done at once until the next piece begins */
static inline void vtd_accel_end_piece(VTDAccelWork *work)
{
    work->in_piece = false;
    work->left = VTD_ACCEL_WORK_MAX;
}

/* vtd_accel_spend: note work that is done now */
static inline void vtd_accel_spend(VTDAccelWork *work, unsigned int amount)
{
    work->left -= amount;
}

/* vtd_accel_in_piece: can what is left be done later? */
static inline bool vtd_accel_in_piece(const VTDAccelWork *work)
{
    return work->in_piece;
}

/* vtd_accel_must_yield: has the main loop to get its turn now? */
static inline bool vtd_accel_must_yield(const VTDAccelWork *work)
{
    return work->in_piece && work->left <= 0;
}

#endif
