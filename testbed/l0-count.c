/*
 * A TCG plugin of L0: whose instructions are executed
 *
 *   -plugin l0-count.so,out=FILE[,enter=ADDRESS,leave=ADDRESS]
 *
 * Each time L1 runs guest/mark.c, a line of NAME=NUMBER words is added to FILE:
 *
 *   l2_insns      instructions of L2, its kernel and its programs
 *   l1_kernel     of L1's kernel, KVM and the drivers of VFIO and the IOMMU
 *   qut_insns     of the QEMU under test, the only program of L1 that is
 *                 linked to be loaded anywhere, which is above 1 TiB
 *   l1_other      of L1's other programs, which count and are not counted
 *   qut_syscalls  system calls of the QEMU under test
 *   vm_entries    how often L1 entered L2, hence how often it left it
 *
 * L1 enters its guest at VMRUN and is back at the instruction after it; on Arm
 * at its kernel's symbols whose addresses enter= and leave= give. All of a
 * translation block is counted when it begins, so that one that a fault ends is
 * counted twice.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

#define PROGRAMS_END    (UINT64_C(1) << 63)
#define LOADED_ANYWHERE (UINT64_C(1) << 40)

enum { KERNEL, HIGH, LOW, CLASSES };

typedef struct {
    uint64_t run[CLASSES];      /* by anybody */
    uint64_t guest[CLASSES];    /* of that by L2, until it was left last */
    uint64_t entered[CLASSES];  /* run[] when it was entered last */
    uint64_t inside;            /* L2 is running */
    uint64_t entries, syscalls;
} Counts;

static struct qemu_plugin_scoreboard *board;
static FILE *out;
static bool x86;
static uint64_t enter_at, leave_at;

static qemu_plugin_u64 counter(size_t offset)
{
    return (qemu_plugin_u64) { board, offset };
}

static void enter(unsigned int vcpu, void *opaque)
{
    Counts *c = qemu_plugin_scoreboard_find(board, vcpu);

    memcpy(c->entered, c->run, sizeof(c->run));
    c->inside = 1;
    c->entries++;
}

static void leave(unsigned int vcpu, void *opaque)
{
    Counts *c = qemu_plugin_scoreboard_find(board, vcpu);

    for (int i = 0; c->inside && i < CLASSES; i++) {
        c->guest[i] += c->run[i] - c->entered[i];
    }
    c->inside = 0;
}

static void mark(unsigned int vcpu, void *opaque)
{
    uint64_t l1[CLASSES] = { 0 }, l2 = 0, entries = 0, syscalls = 0;

    for (int cpu = 0; cpu < qemu_plugin_num_vcpus(); cpu++) {
        Counts *c = qemu_plugin_scoreboard_find(board, cpu);

        for (int i = 0; i < CLASSES; i++) {
            uint64_t guest = c->guest[i];

            guest += c->inside ? c->run[i] - c->entered[i] : 0;
            l1[i] += c->run[i] - guest;
            l2 += guest;
        }
        entries += c->entries;
        syscalls += c->syscalls;
    }
    fprintf(out, "l2_insns=%" PRIu64 " l1_kernel=%" PRIu64 " qut_insns=%" PRIu64
            " l1_other=%" PRIu64 " qut_syscalls=%" PRIu64 " vm_entries=%" PRIu64
            "\n", l2, l1[KERNEL], l1[HIGH], l1[LOW], syscalls, entries);
    fflush(out);
}

static bool is(const uint8_t *data, size_t length, const char *bytes, size_t n)
{
    return length == n && !memcmp(data, bytes, n);
}

static void look_at(struct qemu_plugin_insn *insn, int class)
{
    uint64_t address = qemu_plugin_insn_vaddr(insn);
    uint8_t d[16];
    size_t n = qemu_plugin_insn_data(insn, d, sizeof(d));

    if (x86 && is(d, n, "\x0f\x01\xd8", 3)) {
        enter_at = address;
        leave_at = address + n;
    }
    if (address == enter_at) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, enter,
                                               QEMU_PLUGIN_CB_NO_REGS, NULL);
    } else if (address == leave_at) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, leave,
                                               QEMU_PLUGIN_CB_NO_REGS, NULL);
    } else if (class == HIGH && (x86 ? is(d, n, "\x0f\x05", 2)
                                     : is(d, n, "\x01\x00\x00\xd4", 4))) {
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
            insn, QEMU_PLUGIN_INLINE_ADD_U64,
            counter(offsetof(Counts, syscalls)), 1);
    } else if (class == LOW && (x86 ? is(d, n, "\x48\xb8VIIOMARK", 10)
                                    : is(d, n, "\x7f\xa9\xe9\x92", 4))) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, mark,
                                               QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint64_t address = qemu_plugin_tb_vaddr(tb);
    size_t count = qemu_plugin_tb_n_insns(tb);
    int class = address >= PROGRAMS_END ? KERNEL :
                address >= LOADED_ANYWHERE ? HIGH : LOW;

    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        tb, QEMU_PLUGIN_INLINE_ADD_U64,
        counter(offsetof(Counts, run) + class * sizeof(uint64_t)), count);
    for (size_t i = 0; i < count; i++) {
        look_at(qemu_plugin_tb_get_insn(tb, i), class);
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t *info,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) {
            out = fopen(argv[i] + 4, "w");
        } else if (!strncmp(argv[i], "enter=", 6)) {
            enter_at = strtoull(argv[i] + 6, NULL, 0);
        } else if (!strncmp(argv[i], "leave=", 6)) {
            leave_at = strtoull(argv[i] + 6, NULL, 0);
        }
    }
    x86 = !strcmp(info->target_name, "x86_64");
    if (!out || (!x86 && !(enter_at && leave_at))) {
        fprintf(stderr, "l0-count: out=FILE, and on Arm enter= and leave=, are "
                "needed\n");
        return 1;
    }
    board = qemu_plugin_scoreboard_new(sizeof(Counts));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
