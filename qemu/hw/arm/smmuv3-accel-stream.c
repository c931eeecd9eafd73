/*
 * SMMUv3 on the host SMMU: streams and their objects in the host
 *
 * A stream is attached to guest memory (bypass), to nothing (abort) or to a
 * nested HWPT made from the guest's STE.  Whatever goes wrong, the stream
 * aborts, and the next configuration command that concerns it tries again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "hw/pci/pci.h"
#include "trace.h"
#include "smmuv3-accel-bits.h"
#include "smmuv3-accel-cmdqv.h"
#include "smmuv3-accel-event.h"
#include "smmuv3-accel-ste.h"
#include "smmuv3-accel-stream.h"

static const char *smmuv3_accel_name(SMMUv3AccelStream *st)
{
    return iommufd_binding_device_name(&st->host);
}

uint32_t smmuv3_accel_stream_sid(const SMMUv3AccelStream *st)
{
    return PCI_BUILD_BDF(st->bus_num(st->aliased_bus), st->aliased_devfn);
}

/* Note why @st is to abort, and log it if that is news */
static void G_GNUC_PRINTF(3, 4) smmuv3_accel_log(SMMUv3AccelStream *st,
                                                 bool news,
                                                 const char *fmt, ...)
{
    g_autofree char *why = NULL;
    va_list ap;

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    iommufd_binding_explain(&st->binding, why);
    if (news) {
        iommufd_binding_device_log(&st->host, "StreamID 0x%x: %s; it aborts",
                                   smmuv3_accel_stream_sid(st), why);
    }
}

/*
 * Objects that all streams of an SMMU share, in the order the kernel demands
 */

static bool smmuv3_accel_alloc_nested(SMMUv3Accel *accel, uint32_t dev_id,
                                      const uint64_t *ste, uint32_t *hwpt_id,
                                      Error **errp)
{
    struct iommu_hwpt_arm_smmuv3 data = {
        .ste = { cpu_to_le64(ste[0]), cpu_to_le64(ste[1]) },
    };

    bool ok = iommufd_backend_alloc_hwpt(accel->iommufd, dev_id,
                                         accel->viommu_id, 0,
                                         IOMMU_HWPT_DATA_ARM_SMMUV3,
                                         sizeof(data), &data, hwpt_id, errp);

    accel->bindings.refused += !ok;
    return ok;
}

static void smmuv3_accel_free_objects(SMMUv3Accel *accel)
{
    smmuv3_accel_cmdqv_stop(accel);
    smmuv3_accel_event_stop(accel);
    iommufd_backend_free_id(accel->iommufd, accel->bindings.blocking_hwpt_id);
    iommufd_backend_free_id(accel->iommufd, accel->bypass_hwpt_id);
    iommufd_backend_free_id(accel->iommufd, accel->viommu_id);
    accel->bindings.blocking_hwpt_id = 0;
    accel->viommu_id = 0;
    /*
     * What is invalidated from now on does not reach the host. The next device
     * may come while the last one's parent, with its VMID, is still there.
     */
    smmuv3_accel_inv_init(&accel->inv, NULL, 0, false);
    accel->inv.tlb_stale = true;
    accel->iommufd = NULL;
}

static bool smmuv3_accel_alloc_viommu(SMMUv3Accel *accel,
                                      HostIOMMUDeviceIOMMUFD *idev,
                                      Error **errp)
{
    ERRP_GUARD();

    if (smmuv3_accel_cmdqv_alloc_viommu(accel, idev, &accel->viommu_id, errp)) {
        return true;
    }
    if (*errp) {
        return false;
    }
    if (!iommufd_backend_alloc_viommu(idev->iommufd, idev->devid,
                                      IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
                                      idev->hwpt_id, &accel->viommu_id,
                                      errp)) {
        if (errno == EOPNOTSUPP) {
            error_append_hint(errp, "The host SMMU must have stage-2 forced "
                              "write-back (IDR3.FWB), or its firmware must "
                              "describe a coherent bus (IORT CANWBS).\n");
        }
        return false;
    }
    return true;
}

static bool smmuv3_accel_alloc_objects(SMMUv3Accel *accel,
                                       HostIOMMUDeviceIOMMUFD *idev,
                                       Error **errp)
{
    const uint64_t bypass[2] = { STE0_V | STE0_MAKE_CFG(STE_CFG_BYPASS_ALL) };
    const uint64_t abort_all[2] = { STE0_V };
    bool repeat = HOST_IOMMU_DEVICE(idev)->caps.vendor_caps.smmuv3.flags &
                  IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI;

    accel->iommufd = idev->iommufd;
    accel->s2_hwpt_id = idev->hwpt_id;
    if (!smmuv3_accel_alloc_viommu(accel, idev, errp)) {
        goto err_viommu;
    }
    if (!smmuv3_accel_alloc_nested(accel, idev->devid, bypass,
                                   &accel->bypass_hwpt_id, errp)) {
        goto err_bypass;
    }
    if (!smmuv3_accel_alloc_nested(accel, idev->devid, abort_all,
                                   &accel->bindings.blocking_hwpt_id, errp)) {
        goto err_abort;
    }
    trace_smmuv3_accel_objects(accel->viommu_id, accel->s2_hwpt_id,
                               accel->bypass_hwpt_id,
                               accel->bindings.blocking_hwpt_id);
    smmuv3_accel_inv_init(&accel->inv, idev->iommufd, accel->viommu_id, repeat);
    smmuv3_accel_event_start(accel);
    smmuv3_accel_cmdqv_start(accel);
    return true;

err_abort:
    iommufd_backend_free_id(accel->iommufd, accel->bypass_hwpt_id);
err_bypass:
    smmuv3_accel_cmdqv_stop(accel);
    iommufd_backend_free_id(accel->iommufd, accel->viommu_id);
err_viommu:
    accel->viommu_id = 0;
    accel->iommufd = NULL;
    return false;
}

/*
 * The host side of one stream
 */

static void smmuv3_accel_drop_s1(SMMUv3AccelStream *st)
{
    if (st->s1_hwpt_id) {
        trace_smmuv3_accel_s1_free(smmuv3_accel_name(st), st->s1_hwpt_id);
        iommufd_backend_free_id(st->host.hiodi->iommufd, st->s1_hwpt_id);
        st->s1_hwpt_id = 0;
        st->msi_lost = false;
    }
}

static void smmuv3_accel_drop_vdev(SMMUv3AccelStream *st)
{
    if (st->vdev_id) {
        g_hash_table_remove(st->accel->vsids, GUINT_TO_POINTER(st->vsid));
        iommufd_backend_free_id(st->host.hiodi->iommufd, st->vdev_id);
        st->vdev_id = 0;
    }
}

/*
 * Stop the stream.  Detached, a device cannot even set up interrupts, so that
 * is the last resort.
 */
static void smmuv3_accel_block(SMMUv3AccelStream *st)
{
    if (!iommufd_binding_block(&st->binding)) {
        return;
    }
    if (st->binding.hwpt_id) {
        trace_smmuv3_accel_abort(smmuv3_accel_name(st));
    } else {
        trace_smmuv3_accel_detach(smmuv3_accel_name(st));
    }
    smmuv3_accel_drop_s1(st);
}

/* Stop the stream until its configuration is installed again */
static void smmuv3_accel_fail(SMMUv3AccelStream *st)
{
    smmuv3_accel_block(st);
    st->failed = true;
}

/*
 * The host needs the device's StreamID before it can translate.  Returns 0, or
 * a negative errno with @errp set: -EBUSY as long as a device cannot be stopped
 * whose StreamID changes, which is tried again.
 */
static int smmuv3_accel_ensure_vdev(SMMUv3AccelStream *st, uint32_t sid,
                                    Error **errp)
{
    SMMUv3Accel *accel = st->accel;
    SMMUv3AccelStream *other;

    if (st->vdev_id && st->vsid == sid) {
        return 0;
    }

    other = g_hash_table_lookup(accel->vsids, GUINT_TO_POINTER(sid));
    if (other && smmuv3_accel_stream_sid(other) == sid) {
        error_setg(errp, "%s has the same StreamID", smmuv3_accel_name(other));
        return -EIO;
    }
    if (other) {
        /* The guest has renumbered its buses: @other had this one before */
        if (other->s1_hwpt_id || other->binding.stuck) {
            iommufd_binding_explain(&other->binding,
                                    "another device has its StreamID now");
            smmuv3_accel_fail(other);
        }
        if (other->binding.stuck) {
            error_setg(errp, "%s cannot be stopped: it had its StreamID before",
                       smmuv3_accel_name(other));
            return -EBUSY;
        }
        smmuv3_accel_drop_vdev(other);
    }
    if (st->vdev_id) {
        smmuv3_accel_block(st);
        if (st->binding.stuck) {
            error_setg(errp, "it cannot be stopped at its old StreamID 0x%x",
                       st->vsid);
            return -EBUSY;
        }
        smmuv3_accel_drop_vdev(st);
    }
    if (!iommufd_backend_alloc_vdev(accel->iommufd, st->host.hiodi->devid,
                                    accel->viommu_id, sid, &st->vdev_id,
                                    errp)) {
        accel->bindings.refused++;
        st->vdev_id = 0;
        return -EIO;
    }
    st->vsid = sid;
    g_hash_table_insert(accel->vsids, GUINT_TO_POINTER(sid), st);
    trace_smmuv3_accel_vdev(smmuv3_accel_name(st), sid, st->vdev_id);
    return 0;
}

/* Returns 0, or a negative errno with @errp set */
static int smmuv3_accel_install_s1(SMMUv3AccelStream *st, uint32_t sid,
                                   const SMMUv3AccelTarget *t, Error **errp)
{
    SMMUv3Accel *accel = st->accel;
    uint32_t hwpt_id;
    int ret;

    if (accel->inv.tlb_stale &&
        !smmuv3_accel_inv_flush_tlb(&accel->inv, errp)) {
        return -EIO;
    }
    ret = smmuv3_accel_ensure_vdev(st, sid, errp);
    if (ret) {
        return ret;
    }
    if (!smmuv3_accel_alloc_nested(accel, st->host.hiodi->devid, t->ste,
                                   &hwpt_id, errp)) {
        return -EIO;
    }
    ret = iommufd_binding_attach(&st->binding, hwpt_id, errp);
    if (ret) {
        iommufd_backend_free_id(st->host.hiodi->iommufd, hwpt_id);
        return ret;
    }
    smmuv3_accel_drop_s1(st);
    st->s1_hwpt_id = hwpt_id;
    st->ste[0] = t->ste[0];
    st->ste[1] = t->ste[1];
    st->raw[0] = t->raw[0];
    st->raw[1] = t->raw[1];
    trace_smmuv3_accel_s1(smmuv3_accel_name(st), sid, hwpt_id, accel->viommu_id,
                          t->ste[0], t->ste[1]);
    return 0;
}

/* What all streams share that bypass, or abort */
static uint32_t smmuv3_accel_shared_hwpt(SMMUv3Accel *accel,
                                         const SMMUv3AccelTarget *t)
{
    return t->kind == SMMUV3_ACCEL_BYPASS ? accel->bypass_hwpt_id
                                          : accel->bindings.blocking_hwpt_id;
}

static int smmuv3_accel_install(SMMUv3AccelStream *st, uint32_t sid,
                                const SMMUv3AccelTarget *t, Error **errp)
{
    uint32_t hwpt_id = smmuv3_accel_shared_hwpt(st->accel, t);
    int ret;

    if (t->kind == SMMUV3_ACCEL_S1) {
        return smmuv3_accel_install_s1(st, sid, t, errp);
    }
    ret = iommufd_binding_attach(&st->binding, hwpt_id, errp);
    if (!ret) {
        smmuv3_accel_drop_s1(st);
        trace_smmuv3_accel_attach(smmuv3_accel_name(st), hwpt_id,
                                  t->kind == SMMUV3_ACCEL_BYPASS);
    }
    return ret;
}

static bool smmuv3_accel_is_installed(SMMUv3AccelStream *st, uint32_t sid,
                                      const SMMUv3AccelTarget *t)
{
    if (st->failed || st->binding.stuck) {
        return false;
    }
    if (t->kind != SMMUV3_ACCEL_S1) {
        return st->binding.hwpt_id == smmuv3_accel_shared_hwpt(st->accel, t);
    }
    return st->s1_hwpt_id && st->vsid == sid && st->ste[0] == t->ste[0] &&
           st->ste[1] == t->ste[1];
}

/* Report a mistake in the guest's tables once, to the log and to the guest */
static void smmuv3_accel_tell_mistake(SMMUv3AccelStream *st,
                                      const SMMUv3AccelTarget *t)
{
    bool news = st->reason != t->reason;

    if (t->reason) {
        smmuv3_accel_log(st, news, "%s", t->reason);
    } else if (st->host.reasons->len) {
        iommufd_binding_explain(&st->binding, NULL);
    }
    if (t->reason && news) {
        smmuv3_accel_event_record(st->accel, smmuv3_accel_stream_sid(st), t);
    }
    st->reason = t->reason;
}

/*
 * Report that the host refuses a target, once for the same target.  To the
 * guest its entry is a bad one.  A device in reset is tried again soon, which
 * the log is told once for each reset, and the guest not at all.
 */
static void smmuv3_accel_tell_refusal(SMMUv3AccelStream *st,
                                      const SMMUv3AccelTarget *t, int ret,
                                      Error *err)
{
    bool told = st->refusal_told && st->refused.kind == t->kind &&
                st->refused.ste[0] == t->ste[0] &&
                st->refused.ste[1] == t->ste[1];
    bool news = iommufd_binding_refused(&st->binding, ret);

    smmuv3_accel_log(st, ret == -EBUSY ? news : !told, "cannot install its "
                     "stream table entry: %s", error_get_pretty(err));
    st->refused = *t;
    st->refused.event = SMMU_EVT_C_BAD_STE;
    if (!told && ret != -EBUSY && t->kind == SMMUV3_ACCEL_S1) {
        smmuv3_accel_event_record(st->accel, smmuv3_accel_stream_sid(st),
                                  &st->refused);
    }
    st->refusal_told = ret != -EBUSY;
}

/*
 * Commands of the guest
 */

SMMUv3AccelStream *smmuv3_accel_stream_find(SMMUv3Accel *accel, uint32_t vsid)
{
    return g_hash_table_lookup(accel->vsids, GUINT_TO_POINTER(vsid));
}

/*
 * Returns false for a TLBI, which is for all streams.  Other commands are for
 * @st, which is NULL if there is no such stream any more.
 */
static bool smmuv3_accel_cmd_stream(SMMUv3Accel *accel,
                                    const SMMUv3AccelCmd *cmd,
                                    SMMUv3AccelStream **st)
{
    uint64_t cmd0 = le64_to_cpu(cmd->cmd[0]);

    *st = smmuv3_accel_stream_find(accel, CMD0_SID(cmd0));
    switch (cmd0 & CMD0_OP) {
    case SMMU_CMD_CFGI_CD:
    case SMMU_CMD_CFGI_CD_ALL:
    case SMMU_CMD_ATC_INV:
        return true;
    default:
        return false;
    }
}

/* Has the command become pointless since it was queued? */
static bool smmuv3_accel_is_moot(SMMUv3Accel *accel, const SMMUv3AccelCmd *cmd)
{
    SMMUv3AccelStream *st;

    if (!smmuv3_accel_cmd_stream(accel, cmd, &st)) {
        return accel->inv.tlb_stale;
    }
    return !st || !st->s1_hwpt_id;
}

/*
 * The host refuses a command that the guest may give: stop each stream that
 * could use what should have been forgotten.
 */
static void smmuv3_accel_refused(SMMUv3Accel *accel, const SMMUv3AccelCmd *cmd,
                                 Error *err)
{
    SMMUv3AccelStream *st, *only;
    bool is_tlbi = !smmuv3_accel_cmd_stream(accel, cmd, &only);

    /* Whoever is installed again flushes first */
    accel->inv.tlb_stale |= is_tlbi;
    QLIST_FOREACH(st, &accel->streams, next) {
        /* Which streams use an ASID is in CDs, which only the hardware reads */
        if (is_tlbi ? st->s1_hwpt_id : st == only) {
            smmuv3_accel_log(st, true, "host refuses command 0x%" PRIx64
                             " 0x%" PRIx64 ": %s",
                             (uint64_t)le64_to_cpu(cmd->cmd[0]),
                             (uint64_t)le64_to_cpu(cmd->cmd[1]),
                             error_get_pretty(err));
            smmuv3_accel_fail(st);
        }
    }
}

void smmuv3_accel_stream_send(SMMUv3Accel *accel)
{
    SMMUv3AccelInv *inv = &accel->inv;
    uint32_t num = inv->num;
    Error *err = NULL;

    if (smmuv3_accel_inv_send(inv, &err)) {
        return;
    }
    if (num == 1) {
        smmuv3_accel_refused(accel, &inv->cmds[0], err);
        error_free(err);
        return;
    }
    error_free(err);
    for (uint32_t i = 0; i < num; i++) {
        err = NULL;
        if (!smmuv3_accel_is_moot(accel, &inv->cmds[i]) &&
            !smmuv3_accel_inv_send_one(inv, i, &err)) {
            smmuv3_accel_refused(accel, &inv->cmds[i], err);
            error_free(err);
        }
    }
}

void smmuv3_accel_stream_queue(SMMUv3Accel *accel, uint64_t cmd0, uint64_t cmd1)
{
    if (smmuv3_accel_inv_queue(&accel->inv, cmd0, cmd1)) {
        smmuv3_accel_stream_send(accel);
    }
}

/*
 * Configuration
 */

/* Of a stream with stage 1 that stays as it is */
static void smmuv3_accel_forget_cds(SMMUv3AccelStream *st)
{
    smmuv3_accel_stream_queue(st->accel, SMMU_CMD_CFGI_CD_ALL |
                              CMD0_MAKE_SID(st->vsid), 0);
}

/* As smmuv3_accel_stream_refresh_range(), for one stream */
static void smmuv3_accel_refresh(SMMUv3AccelStream *st, bool cfgi)
{
    uint32_t sid = smmuv3_accel_stream_sid(st);
    SMMUv3AccelTarget t;
    Error *err = NULL;
    int ret;

    smmuv3_accel_ste_read(st, sid, &t);
    if (smmuv3_accel_is_installed(st, sid, &t)) {
        if (cfgi && t.kind == SMMUV3_ACCEL_S1) {
            smmuv3_accel_forget_cds(st);
        }
        /* Unless the host has refused that: then it is blocked for it */
        if (!st->failed) {
            smmuv3_accel_tell_mistake(st, &t);
        }
        return;
    }

    /* The host has to see the guest's commands and this change in order */
    smmuv3_accel_stream_send(st->accel);

    /*
     * First get it away from what it is stuck to.  The host's books may show
     * that it already has what it shall get, while the hardware has not: then
     * the host would not touch the hardware.
     */
    if (st->binding.stuck) {
        smmuv3_accel_block(st);
        if (st->binding.stuck) {
            return;
        }
    }
    st->failed = false;
    ret = smmuv3_accel_install(st, sid, &t, &err);
    if (!ret) {
        st->refusal_told = false;
        smmuv3_accel_tell_mistake(st, &t);
        return;
    }
    smmuv3_accel_tell_refusal(st, &t, ret, err);
    error_free(err);
    if (t.kind == SMMUV3_ACCEL_ABORT) {
        /* Stopped in another way, it is as the guest wants it */
        iommufd_binding_explain(&st->binding, t.reason);
    }
    smmuv3_accel_fail(st);
}

void smmuv3_accel_stream_cfgi(SMMUv3Accel *accel, uint32_t sid)
{
    SMMUv3AccelStream *owner = smmuv3_accel_stream_find(accel, sid);
    SMMUv3AccelStream *st;

    smmuv3_accel_table_init(accel, false);
    if (owner) {
        smmuv3_accel_refresh(owner, true);
    }
    /* After the guest has renumbered its buses, others may have it, too */
    QLIST_FOREACH(st, &accel->by_devfn[sid & 0xff], next_devfn) {
        if (st != owner && smmuv3_accel_stream_sid(st) == sid) {
            smmuv3_accel_refresh(st, true);
        }
    }
}

/* Is a stream as the guest wants it, as far as the command knows already? */
static bool smmuv3_accel_is_settled(SMMUv3AccelStream *st, uint32_t sid)
{
    return st->s1_hwpt_id && st->vsid == sid && !st->failed &&
           !st->binding.stuck && !st->host.reasons->len &&
           smmuv3_accel_ste_is_same(st, sid);
}

void smmuv3_accel_stream_refresh_range(SMMUv3Accel *accel, uint32_t sid,
                                       uint32_t ignored, bool cfgi)
{
    SMMUv3AccelStream *st;

    smmuv3_accel_table_init(accel, true);
    QLIST_FOREACH(st, &accel->streams, next) {
        uint32_t now = smmuv3_accel_stream_sid(st);

        if ((now ^ sid) & ~ignored &&
            (!st->vdev_id || (st->vsid ^ sid) & ~ignored)) {
            continue;
        }
        if (!smmuv3_accel_is_settled(st, now)) {
            smmuv3_accel_refresh(st, cfgi);
        } else if (cfgi) {
            smmuv3_accel_forget_cds(st);
        }
    }
}

static void smmuv3_accel_retry(IOMMUFDBindingDevice *host)
{
    SMMUv3AccelStream *st = container_of(host, SMMUv3AccelStream, host);

    smmuv3_accel_table_init(st->accel, false);
    smmuv3_accel_refresh(st, false);
}

bool smmuv3_accel_stream_unstick(SMMUv3Accel *accel)
{
    SMMUv3AccelStream *st;

    if (accel->bindings.num_stuck) {
        QLIST_FOREACH(st, &accel->streams, next) {
            if (st->binding.stuck) {
                smmuv3_accel_block(st);
            }
        }
    }
    return !accel->bindings.num_stuck;
}

/*
 * Devices that come and go
 */

void smmuv3_accel_stream_init(SMMUv3Accel *accel)
{
    static const IOMMUFDBindingOps ops = {
        .model = TYPE_ARM_SMMUV3,
        .retry = smmuv3_accel_retry,
    };

    accel->vsids = g_hash_table_new(NULL, NULL);
    accel->bindings.ops = &ops;
    accel->bindings.viommu = OBJECT(accel->s);
    QLIST_INIT(&accel->streams);
    for (int i = 0; i < PCI_DEVFN_MAX; i++) {
        QLIST_INIT(&accel->by_devfn[i]);
    }
}

/* One host SMMU, one parent, and one device for each StreamID */
static bool smmuv3_accel_check_shared(SMMUv3Accel *accel,
                                      HostIOMMUDeviceIOMMUFD *idev,
                                      Error **errp)
{
    HostIOMMUDevice *hiod = HOST_IOMMU_DEVICE(idev);
    SMMUv3AccelStream *st;
    uint32_t num = 0;

    if (accel->iommufd && accel->iommufd != idev->iommufd) {
        error_setg(errp, "it has another iommufd object than the devices that "
                   "are behind this arm-smmuv3: use the same one for all");
        return false;
    }
    if (accel->iommufd && accel->s2_hwpt_id != idev->hwpt_id) {
        error_setg(errp, "it sits behind another host SMMU (stage-2 HWPT %u) "
                   "than the devices that are behind this arm-smmuv3 (HWPT "
                   "%u): put it behind an arm-smmuv3 of its own",
                   idev->hwpt_id, accel->s2_hwpt_id);
        return false;
    }
    QLIST_FOREACH(st, &accel->streams, next) {
        num++;
    }
    if (num >= smmuv3_accel_cmdqv_max_devices(accel)) {
        error_setg(errp, "with command queues of the host it has room for %u "
                   "devices behind one arm-smmuv3: use cmdqv=off, or another "
                   "arm-smmuv3", num);
        return false;
    }
    QLIST_FOREACH(st, &accel->by_devfn[hiod->aliased_devfn], next_devfn) {
        if (st->aliased_bus == hiod->aliased_bus) {
            error_setg(errp, "it would have the same StreamID as %s, because "
                       "they are below one PCI bridge: put it below a PCI "
                       "Express port", smmuv3_accel_name(st));
            return false;
        }
    }
    return true;
}

/*
 * The kernel makes no vDEVICE for a device that has several StreamIDs in the
 * host.  The user should hear that now and not when the guest wants
 * translation: try it with a StreamID that no guest can give.
 */
static bool smmuv3_accel_probe_vdev(SMMUv3AccelStream *st, Error **errp)
{
    ERRP_GUARD();
    HostIOMMUDeviceIOMMUFD *hiodi = st->host.hiodi;
    uint32_t id;

    if (!iommufd_backend_alloc_vdev(hiodi->iommufd, hiodi->devid,
                                    st->accel->viommu_id,
                                    1u << SMMU_IDR1_SIDSIZE, &id, errp)) {
        if (errno == EOPNOTSUPP) {
            error_append_hint(errp, "The device must have exactly one StreamID "
                              "in the host.\n");
        }
        return false;
    }
    iommufd_backend_free_id(hiodi->iommufd, id);
    return true;
}

/* As smmuv3_accel_stream_refresh(), but the caller reports a refusal */
static bool smmuv3_accel_first_attach(SMMUv3AccelStream *st, Error **errp)
{
    uint32_t sid = smmuv3_accel_stream_sid(st);
    SMMUv3AccelTarget t;

    smmuv3_accel_table_init(st->accel, false);
    smmuv3_accel_ste_read(st, sid, &t);
    if (smmuv3_accel_install(st, sid, &t, errp)) {
        return false;
    }
    smmuv3_accel_tell_mistake(st, &t);
    return true;
}

/*
 * The guest was told that faults never stall a transaction, and nobody would
 * resume one.  A host SMMU that can stall has to treat a CD that asks for it as
 * illegal, like an SMMU that cannot (SMMUv3 5.5).
 */
static uint64_t smmuv3_accel_stalld(uint32_t idr0)
{
    return FIELD_EX32(idr0, IDR0, STALL_MODEL) == IDR0_STALL_NONE ?
           0 : STE1_S1STALLD;
}

static SMMUv3AccelStream *smmuv3_accel_stream_new(SMMUv3Accel *accel,
                                                  PCIBus *bus, int devfn,
                                                  HostIOMMUDevice *hiod)
{
    HostIOMMUDeviceIOMMUFD *idev = HOST_IOMMU_DEVICE_IOMMUFD(hiod);
    uint32_t idr0 = hiod->caps.vendor_caps.smmuv3.idr[0];
    SMMUv3AccelStream *st = g_new0(SMMUv3AccelStream, 1);

    st->accel = accel;
    st->aliased_bus = hiod->aliased_bus;
    st->bus_num = PCI_BUS_GET_CLASS(hiod->aliased_bus)->bus_num;
    st->aliased_devfn = hiod->aliased_devfn;
    st->ats = FIELD_EX32(idr0, IDR0, ATS) &&
              !(hiod->caps.hw_caps & IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
    st->stalld = smmuv3_accel_stalld(idr0);
    iommufd_binding_device_init(&st->host, &accel->bindings, bus, devfn, idev);
    /* As VFIO has attached it */
    st->binding.dev = &st->host;
    st->binding.hwpt_id = idev->hwpt_id;
    QLIST_INSERT_HEAD(&accel->streams, st, next);
    QLIST_INSERT_HEAD(&accel->by_devfn[st->aliased_devfn], st, next_devfn);
    return st;
}

bool smmuv3_accel_stream_add(SMMUv3Accel *accel, PCIBus *bus, int devfn,
                             HostIOMMUDevice *hiod, Error **errp)
{
    HostIOMMUDeviceIOMMUFD *idev = HOST_IOMMU_DEVICE_IOMMUFD(hiod);
    SMMUv3AccelStream *st;

    if (!smmuv3_accel_check_shared(accel, idev, errp)) {
        return false;
    }
    if (QLIST_EMPTY(&accel->streams) &&
        !smmuv3_accel_alloc_objects(accel, idev, errp)) {
        return false;
    }

    st = smmuv3_accel_stream_new(accel, bus, devfn, hiod);
    if (!smmuv3_accel_probe_vdev(st, errp) ||
        !smmuv3_accel_first_attach(st, errp)) {
        smmuv3_accel_stream_del(accel, bus, devfn);
        return false;
    }
    return true;
}

void smmuv3_accel_stream_del(SMMUv3Accel *accel, PCIBus *bus, int devfn)
{
    SMMUv3AccelStream *st;

    QLIST_FOREACH(st, &accel->streams, next) {
        if (st->host.bus == bus && st->host.devfn == devfn) {
            break;
        }
    }
    if (!st) {
        return;
    }

    /* VFIO detaches it next: it must not get guest memory in between */
    smmuv3_accel_stream_send(accel);
    if (iommufd_binding_detach(&st->binding)) {
        trace_smmuv3_accel_detach(smmuv3_accel_name(st));
    }
    iommufd_binding_forget(&st->binding);
    smmuv3_accel_drop_s1(st);
    smmuv3_accel_drop_vdev(st);
    QLIST_REMOVE(st, next);
    QLIST_REMOVE(st, next_devfn);
    iommufd_binding_device_cleanup(&st->host);
    g_free(st);
    if (QLIST_EMPTY(&accel->streams)) {
        smmuv3_accel_free_objects(accel);
    }
}
