/*
 * Page requests of host devices behind the accelerated VT-d, for qtests: a host
 * whose devices send what a test writes to its fault queue, a guest that has a
 * queue for it and answers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VTD_ACCEL_PRQ_H
#define VTD_ACCEL_PRQ_H

#include "vtd-accel-common.h"
#include "tests/qtest/fakehost/fakehost-uapi.h"

/* Registers (VT-d 11.4.11) */
#define REG_ECAP        0x10
#define REG_PQH         0xc0
#define REG_PQT         0xc8
#define REG_PQA         0xd0
#define REG_PRS         0xdc
#define REG_PECTL       0xe0
#define REG_PEDATA      0xe4
#define REG_PEADDR      0xe8

#define ECAP_DT         (1ull << 2)
#define ECAP_PRS        (1ull << 29)
#define ECAP_PDS        (1ull << 42)
#define PRS_PPR         1u
#define PRS_PRO         2u
#define PECTL_IP        (1u << 30)
#define PECTL_IM        (1u << 31)

#define CE_PASIDE       (1ull << 3)
#define CE_PRE          (1ull << 4)

#define HOST_PRI        (HOST_ECAP | ECAP_PRS | ECAP_PDS)
#define PROPS           VTD_ACCEL_PROPS ",pasid-bits=20,pri=on"
#define PASID           7
#define QUEUE           0x100000ull
#define QUEUE_LEN       128u
#define DESC_SIZE       32

#define READ            1
#define WRITE           2
#define SUCCESS         0
#define INVALID         1
#define FAILURE         15

typedef struct PrqTest {
    VtdAccelTest t;
    int fd;                     /* the host's end of the fault queue */
    uint64_t dir[4];            /* PASID directories */
    uint32_t cookie;
} PrqTest;

/* What the host counts */
struct FakehostControl *prq_page(PrqTest *q);

/* The description of a host with @ecap, whose devices have @pri= */
char *prq_describe(uint64_t ecap, unsigned pri);

/*
 * Start a machine with @devices bound to first stages, @ce in their context
 * entries, and a page request queue. @args: more arguments for QEMU, or NULL
 *
 * Returns: false if the test is to be skipped
 */
bool prq_start_with(PrqTest *q, unsigned devices, uint64_t ce,
                    const char *args);
/* One device that may request pages, and trace events for prq_lines() */
bool prq_start(PrqTest *q);
/* Nothing is left unanswered, and nothing was answered twice */
void prq_end(PrqTest *q);

/* The steps of prq_start_with() */
void prq_bind_device(PrqTest *q, unsigned n, uint64_t ce);
uint64_t prq_add_context(PrqTest *q, unsigned n, uint64_t ce);
void prq_set_up_queue(PrqTest *q);
int prq_open_queue(VtdAccelTest *t);

/* A request of device @n; @pasid 0: without */
struct fh_pgfault prq_request(PrqTest *q, unsigned n, uint32_t pasid,
                              unsigned prgi, uint64_t addr, bool last);
void prq_send_all(PrqTest *q, const struct fh_pgfault *r, unsigned num);
/* A group of one request */
void prq_send(PrqTest *q, unsigned n, uint32_t pasid, unsigned prgi);

/* Where the guest's queue ends, in requests */
uint32_t prq_tail(PrqTest *q);
void prq_wait_tail(PrqTest *q, uint32_t wanted);
/* How many answers of @code the host got, after QEMU's main loop has run */
uint64_t prq_answers(PrqTest *q, unsigned code);

/* The guest answers, at the latest with its next wait descriptor */
void prq_post_response(PrqTest *q, unsigned n, uint32_t pasid, unsigned prgi,
                       unsigned code);
/* It answers and waits */
void prq_respond(PrqTest *q, unsigned n, uint32_t pasid, unsigned prgi,
                 unsigned code);

/* Lines of QEMU's standard error; trace events are among them */
unsigned prq_lines(PrqTest *q, const char *what);

#endif /* VTD_ACCEL_PRQ_H */
