/*
 * DMA by an edu device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_LIBQOS_EDU_H
#define QTEST_LIBQOS_EDU_H

#include "../libqtest.h"

#define EDU_DMA_SRC     0x80
#define EDU_DMA_DST     0x88
#define EDU_DMA_CNT     0x90
#define EDU_DMA_CMD     0x98
#define EDU_DMA_BUF     0x40000

#define EDU_CMD_RUN     1
#define EDU_CMD_TO_PCI  2

/* One access of 8 bytes between the device's buffer and @addr */
static inline void edu_dma(QTestState *qts, uint64_t bar, uint64_t addr,
                           bool is_write)
{
    qtest_writeq(qts, bar + EDU_DMA_SRC, is_write ? EDU_DMA_BUF : addr);
    qtest_writeq(qts, bar + EDU_DMA_DST, is_write ? addr : EDU_DMA_BUF);
    qtest_writeq(qts, bar + EDU_DMA_CNT, 8);
    qtest_writeq(qts, bar + EDU_DMA_CMD,
                 EDU_CMD_RUN | (is_write ? EDU_CMD_TO_PCI : 0));
    qtest_clock_step(qts, 200 * 1000 * 1000);
    g_assert_cmphex(qtest_readq(qts, bar + EDU_DMA_CMD) & EDU_CMD_RUN, ==, 0);
}

/* Copy 8 bytes, both addresses as the device sees them */
static inline void edu_copy(QTestState *qts, uint64_t bar, uint64_t from,
                            uint64_t to)
{
    edu_dma(qts, bar, from, false);
    edu_dma(qts, bar, to, true);
}

#endif
