/*
 * Fail each call of an operation in turn
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "sweep.h"

#define ROUNDS_MAX      200     /* far more calls than any operation makes */

unsigned sweep(FakeHost *host, const SweepOps *ops, int err, unsigned times,
               void *opaque)
{
    SweepRound round = { .host = host, .hit = true };

    while (round.hit) {
        const struct FakehostRule *rule;

        round.nth++;
        g_assert_cmpuint(round.nth, <, ROUNDS_MAX);
        if (ops->prepare) {
            ops->prepare(opaque);
        }
        round.mark = fakehost_err_mark(host);
        rule = fakehost_fail(host, ops->call ?: "*", round.nth, times, err,
                             ops->handled);
        ops->operate(opaque);
        round.hit = rule->hits;
        fakehost_clear_rules(host);
        qtest_qmp_assert_success(host->qts, "{ 'execute': 'query-status' }");
        ops->check(opaque, &round);
    }
    g_test_message("%u calls failed, one at a time", round.nth - 1);
    return round.nth - 1;
}

typedef struct Plug {
    FakeHost *host;
    unsigned n;
    void (*check)(void *opaque, bool plugged);
    void (*settled)(FakeHost *host);
    void *opaque;
    char *error;
    unsigned refused;
} Plug;

static void plug_operate(void *opaque)
{
    Plug *p = opaque;

    p->error = fakehost_try_plug(p->host, p->n, WITH_IOMMUFD);
}

static void plug_check(void *opaque, const SweepRound *round)
{
    Plug *p = opaque;

    p->check(p->opaque, !p->error);
    if (p->error) {
        p->refused++;
        g_assert_true(round->hit);
        g_test_message("call %u: %s", round->nth, p->error);
    } else {
        fakehost_unplug(p->host, p->n);
    }
    p->settled(p->host);
    g_clear_pointer(&p->error, g_free);
}

unsigned sweep_plug(FakeHost *host, unsigned n,
                    void (*check)(void *opaque, bool plugged),
                    void (*settled)(FakeHost *host), void *opaque)
{
    static const SweepOps ops = {
        .operate = plug_operate, .check = plug_check,
    };
    Plug p = {
        .host = host, .n = n, .check = check, .settled = settled,
        .opaque = opaque,
    };

    sweep(host, &ops, EIO, 1, &p);
    g_test_message("%u of them refused", p.refused);
    return p.refused;
}

void sweep_expect_told(const SweepRound *round, const char *text, bool once)
{
    g_autofree char *err = fakehost_err_since(round->host, round->mark);
    unsigned lines = fakehost_err_lines(round->host, round->mark, text);

    g_test_message("call %u: %s", round->nth, err);
    g_assert_true(round->hit);
    g_assert_cmpuint(lines, >=, 1);
    g_assert_true(!once || lines == 1);
}
