/*
 * SMMUv3: address translation services (ATS) of emulated devices
 *
 * Concepts:
 *
 * ATC          cache of translations in a device.  The SMMU does not see what
 *              is in it; software says what has to go (CMD_ATC_INV)
 * translation request
 *              of a device that wants to know a translation.  If there is
 *              none, nobody learns of it but the device
 * translated access
 *              to an address that was the answer to such a request
 *
 * What devices call is in include/hw/arm/smmu-common.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_ARM_SMMUV3_ATS_H
#define HW_ARM_SMMUV3_ATS_H

#include "hw/arm/smmuv3.h"
#include "smmuv3-internal.h"

/**
 * smmuv3_ats_realize: put what x-ats= asks for into IDR0.ATS (SMMUv3 6.3.1)
 *
 * The bit stays: resets do not change it, and what describes the machine to
 * its firmware reads it.
 *
 * Returns: true, or false with @errp set if the property makes no sense.
 */
bool smmuv3_ats_realize(SMMUv3State *s, Error **errp);

/**
 * smmuv3_ats_check_ste: is the EATS field legal for what the guest was told
 * (SMMUv3 5.2)
 *
 * @ste: a valid entry with a stage of translation
 */
bool smmuv3_ats_check_ste(SMMUv3State *s, const STE *ste);

/**
 * smmuv3_ats_decode: may the requests of a stream use ATS (SMMUv3 3.9.1)
 *
 * @ste: entry of the stream
 * @cfg: decoded from @ste, for requests with or without SubstreamID; set
 *       accordingly
 */
void smmuv3_ats_decode(SMMUv3State *s, const STE *ste, SMMUTransCfg *cfg);

/**
 * smmuv3_ats_command: carry out CMD_ATC_INV (SMMUv3 4.5.1)
 *
 * A stream or substream that no device has is no error.
 *
 * @cmd: in CPU byte order
 *
 * Returns: SMMU_CERROR_NONE or SMMU_CERROR_ILL.
 */
SMMUCmdError smmuv3_ats_command(SMMUv3State *s, const Cmd *cmd);

#endif
