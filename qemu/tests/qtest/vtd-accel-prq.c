/*
 * Page requests of host devices behind the accelerated VT-d, for qtests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "vtd-accel-prq.h"

struct FakehostControl *prq_page(PrqTest *q)
{
    return q->t.host->page;
}

int prq_open_queue(VtdAccelTest *t)
{
    g_autofree char *line = fakehost_log_last(t->host, 0, "FAULT_QUEUE_ALLOC",
                                              "out_fault_id=");
    g_autofree char *path = NULL;
    int fd;

    g_assert_nonnull(line);
    path = g_strdup_printf("%s/fault-%d", t->host->events,
                           atoi(strstr(line, "out_fault_id=") +
                                strlen("out_fault_id=")));
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

char *prq_describe(uint64_t ecap, unsigned pri)
{
    GString *s = g_string_new(NULL);

    g_string_printf(s, "iommu iommu0 type=vtd cap=0x%" PRIx64 " ecap=0x%" PRIx64
                    " errata=1\n", (uint64_t)HOST_CAP, ecap);
    for (unsigned i = 0; i < 4; i++) {
        g_string_append_printf(s, "device %s iommu=iommu0 pasid-bits=20 "
                               "pri=%u\n", fakehost_dev(i), pri);
    }
    return g_string_free(s, false);
}

uint64_t prq_add_context(PrqTest *q, unsigned n, uint64_t ce)
{
    VtdGuest *g = &q->t.guest;
    uint64_t dir = vtd_guest_add_context(g, fakehost_sid(n), 0);
    uint64_t addr = vtd_guest_context(g, fakehost_sid(n));

    qtest_writeq(g->qts, addr, qtest_readq(g->qts, addr) | ce);
    return dir;
}

void prq_bind_device(PrqTest *q, unsigned n, uint64_t ce)
{
    VtdGuest *g = &q->t.guest;
    VtdPasidEntry rid = vtd_accel_fs_entry(5 + 2 * n);
    VtdPasidEntry pasid = vtd_accel_fs_entry(6 + 2 * n);

    q->dir[n] = prq_add_context(q, n, ce);
    vtd_guest_write_pasid(g, q->dir[n], 0, &rid);
    vtd_guest_write_pasid(g, q->dir[n], PASID, &pasid);
    if (!vtd_guest_translates(g)) {
        vtd_guest_enable(g);
    }
    vtd_guest_post_cc(g, VTD_CC_DEVICE, 0, fakehost_sid(n));
    vtd_guest_post_pc(g, VTD_PC_GLOBAL, 0, 0);
    vtd_guest_sync(g);
}

void prq_set_up_queue(PrqTest *q)
{
    vtd_guest_writeq(&q->t.guest, VTD_REG_PQH, 0);
    vtd_guest_writeq(&q->t.guest, VTD_REG_PQT, 0);
    vtd_guest_writeq(&q->t.guest, VTD_REG_PQA, QUEUE);
    vtd_guest_writel(&q->t.guest, VTD_REG_PEDATA, 0x30);
    vtd_guest_writel(&q->t.guest, VTD_REG_PEADDR, 0xfee00000);
    vtd_guest_writel(&q->t.guest, VTD_REG_PECTL, 0);
}

bool prq_start_with(PrqTest *q, unsigned devices, uint64_t ce,
                    const char *args)
{
    g_autofree char *host = prq_describe(HOST_PRI, 1);
    VtdAccelSetup setup = {
        .iommu_props = PROPS, .host = host, .devices = devices, .args = args,
    };

    *q = (PrqTest) { .cookie = 100 };
    if (!vtd_accel_start(&q->t, &setup)) {
        return false;
    }
    for (unsigned i = 0; i < devices; i++) {
        prq_bind_device(q, i, ce);
    }
    prq_set_up_queue(q);
    q->fd = prq_open_queue(&q->t);
    return true;
}

bool prq_start(PrqTest *q)
{
    return prq_start_with(q, 1, CE_PASIDE | CE_PRE, "-trace vtd_irq_generate "
                      "-trace vtd_accel_prq_read ");
}

void prq_end(PrqTest *q)
{
    g_assert_cmpuint(prq_page(q)->requests_waiting, ==, 0);
    g_assert_cmpuint(prq_page(q)->answers_refused, ==, 0);
    close(q->fd);
    fakehost_free(q->t.host);
}

struct fh_pgfault prq_request(PrqTest *q, unsigned n, uint32_t pasid,
                              unsigned prgi, uint64_t addr, bool last)
{
    return (struct fh_pgfault) {
        .flags = (pasid ? FH_PGFAULT_PASID_VALID : 0) |
                 (last ? FH_PGFAULT_LAST_PAGE : 0),
        .dev_id = fakehost_device(q->t.host, fakehost_dev(n))->dev_id,
        .pasid = pasid,
        .grpid = prgi,
        .perm = READ | WRITE,
        .addr = addr,
        .cookie = last ? q->cookie++ : q->cookie,
    };
}

void prq_send_all(PrqTest *q, const struct fh_pgfault *r, unsigned num)
{
    g_assert_cmpint(write(q->fd, r, num * sizeof(*r)), ==, num * sizeof(*r));
}

void prq_send(PrqTest *q, unsigned n, uint32_t pasid, unsigned prgi)
{
    struct fh_pgfault r = prq_request(q, n, pasid, prgi, 0x5000 + prgi * 0x1000,
                                  true);

    prq_send_all(q, &r, 1);
}

uint32_t prq_tail(PrqTest *q)
{
    return vtd_guest_readl(&q->t.guest, VTD_REG_PQT) / DESC_SIZE;
}

void prq_wait_tail(PrqTest *q, uint32_t wanted)
{
    QTEST_AWAIT(prq_tail(q) == wanted);
}

uint64_t prq_answers(PrqTest *q, unsigned code)
{
    /* Each look lets QEMU's main loop run */
    vtd_guest_readl(&q->t.guest, VTD_REG_PRS);
    return prq_page(q)->answers[code];
}

void prq_post_response(PrqTest *q, unsigned n, uint32_t pasid, unsigned prgi,
                       unsigned code)
{
    vtd_guest_post(&q->t.guest, 9 | (pasid ? 1 << 4 : 0) | code << 12 |
                   (uint64_t)fakehost_sid(n) << 16 | (uint64_t)pasid << 32,
                   (uint64_t)prgi << 3);
}

void prq_respond(PrqTest *q, unsigned n, uint32_t pasid, unsigned prgi,
                 unsigned code)
{
    prq_post_response(q, n, pasid, prgi, code);
    vtd_guest_sync(&q->t.guest);
}

unsigned prq_lines(PrqTest *q, const char *what)
{
    return fakehost_err_lines(q->t.host, 0, what);
}
