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

#define ECAP_DT         (1ull << 2)

#define CE_PASIDE       (1ull << 3)
#define CE_PRE          (1ull << 4)

#define HOST_PRI        (HOST_ECAP | VTD_ECAP_PRS | VTD_ECAP_PDS)
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
