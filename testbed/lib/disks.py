# SPDX-License-Identifier: GPL-2.0-or-later
"""Test disks: their images, and what L2 is expected to read and write.

A disk is DATA_BLOCKS blocks of random data, then SLOTS slots of SLOT_BLOCKS
blocks that L2 writes.  Each data block begins with a stamp and its own number,
which guest/dmacheck.c looks at; the random rest is covered by the hash.
"""
import hashlib
import os
import struct

BLOCK = 4096
DATA_BLOCKS = 1024
SLOT_BLOCKS = 16
SLOTS = 16
STAMP = b"VIOMMU01"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def make_image(path):
    """Create an image with fresh random data; return the sha256 of that data."""
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for number in range(DATA_BLOCKS):
            stamp = STAMP + struct.pack("<Q", number)
            block = stamp + os.urandom(BLOCK - len(stamp))
            digest.update(block)
            file.write(block)
        file.truncate((DATA_BLOCKS + SLOTS * SLOT_BLOCKS) * BLOCK)
    return digest.hexdigest()


def data_hash(path):
    """Return the sha256 of an image's data part."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(DATA_BLOCKS * BLOCK)).hexdigest()


def written_block(tag, number):
    """What dmacheck writes to a block: must agree with its fill_block()."""
    line = ("written by L2 tag=%.32s block=%d" % (tag, number)).encode()
    return (line + b"." * (63 - len(line)) + b"\n") * (BLOCK // 64)


def written_slots(path, tag):
    """Return the numbers of the slots that hold all of what L2 writes there."""
    found = []
    with open(path, "rb") as file:
        for slot in range(SLOTS):
            first = DATA_BLOCKS + slot * SLOT_BLOCKS
            file.seek(first * BLOCK)
            expected = b"".join(written_block(tag, first + i) for i in range(SLOT_BLOCKS))
            if file.read(len(expected)) == expected:
                found.append(slot)
    return found
