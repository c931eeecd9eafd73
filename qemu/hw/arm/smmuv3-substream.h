/*
 * SMMUv3: substreams of emulated devices
 *
 * Concepts:
 *
 * substream    the requests of a stream that have one PASID, which here is
 *              called SubstreamID (SSID)
 * CD table     the context descriptors of a stream by SSID: one CD, a linear
 *              table, or one of two levels (SMMUv3 3.3.2)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_SUBSTREAM_H
#define HW_ARM_SMMUV3_SUBSTREAM_H

#include "hw/arm/smmuv3.h"
#include "smmuv3-internal.h"

/**
 * smmuv3_substream_check_props: do x-ssidsize and x-cd2l make sense
 *
 * Returns: true, or false with @errp set.
 */
bool smmuv3_substream_check_props(SMMUv3State *s, Error **errp);

/* Put IDR1.SSIDSIZE and IDR0.CD2L into the registers (SMMUv3 6.3.1, 6.3.2) */
void smmuv3_substream_init_regs(SMMUv3State *s);

/**
 * smmuv3_substream_check_ste: are the fields of a CD table legal for what the
 * guest was told (SMMUv3 5.2)
 *
 * @ste: a valid entry with stage 1
 */
bool smmuv3_substream_check_ste(SMMUv3State *s, const STE *ste);

/**
 * smmuv3_substream_select: which CD a request takes (SMMUv3 3.9 and 5.2,
 * S1DSS)
 *
 * @sdev: who makes it, with or without a SSID
 * @ste: entry of its stream, which smmuv3_substream_check_ste() has accepted
 * @cfg: decoded from @ste; changed if the request bypasses stage 1
 * @ssid: (out) index in the CD table, if @cfg has stage 1
 * @event: set if there is no CD for it
 *
 * Returns: false if the request is to be aborted, with @event recorded.
 */
bool smmuv3_substream_select(const SMMUDevice *sdev, const STE *ste,
                             SMMUTransCfg *cfg, uint32_t *ssid,
                             SMMUEventInfo *event);

/**
 * smmuv3_substream_find_cd: where a CD is (SMMUv3 3.3.2 and 5.3)
 *
 * @ste: entry of the stream
 * @cfg: decoded from @ste, to translate addresses of the table
 * @ssid: index in the table
 * @addr: (out) address of the CD before stage 2, in bytes
 * @event: set on failure
 *
 * Returns: false if it is not to be found.
 */
bool smmuv3_substream_find_cd(SMMUv3State *s, const STE *ste,
                              SMMUTransCfg *cfg, uint32_t ssid,
                              dma_addr_t *addr, SMMUEventInfo *event);

/* Write SSV and SSID of @info into those records that have them (7.3) */
void smmuv3_substream_event(Evt *evt, const SMMUEventInfo *info);

/**
 * smmuv3_substream_flush: forget the configuration of a stream
 *
 * @sdev: the device, for requests without SSID
 * @cmd: CFGI_STE, CFGI_CD or CFGI_CD_ALL: all of it, or one CD
 */
void smmuv3_substream_flush(SMMUv3State *s, SMMUDevice *sdev, const Cmd *cmd);

#endif
