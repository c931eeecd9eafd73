/*
 * Waits of a qtest
 *
 * A test must not fail because the machine has other work to do: what it waits
 * for may take minutes there.  Only what hangs takes longer than this.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_AWAIT_H
#define QTEST_AWAIT_H

#define QTEST_HANG_SECONDS  600

/**
 * QTEST_AWAIT: wait until something is true
 * @cond: evaluated again and again; the test fails when it has been false for
 *        QTEST_HANG_SECONDS
 */
#define QTEST_AWAIT(cond)                                               \
    do {                                                                \
        gint64 qtest_await_end_ = qtest_hangs_at();                     \
                                                                        \
        while (!(cond)) {                                               \
            if (g_get_monotonic_time() > qtest_await_end_) {            \
                g_error("%s:%d: not within %d s: %s", __FILE__,         \
                        __LINE__, QTEST_HANG_SECONDS, #cond);           \
            }                                                           \
            g_usleep(1000);                                             \
        }                                                               \
    } while (0)

/* When a wait that starts now will have failed, in monotonic time */
static inline gint64 qtest_hangs_at(void)
{
    return g_get_monotonic_time() + QTEST_HANG_SECONDS * G_USEC_PER_SEC;
}

#endif /* QTEST_AWAIT_H */
