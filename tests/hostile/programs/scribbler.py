"""A registered producer that writes anything anywhere it may; see tests/hostile/test_scribbler.py.

Usage: scribbler.py SEGMENT SEED END GO. Prints `joined`, scribbles from the time that the file GO exists until the file
END does, and prints `gave NUMBER`: the number of slots that it gave back.
"""

from __future__ import annotations

import os
import random
import sys
import time
from io import FileIO

from rerun_mp.producer.registration import Registration
from rerun_mp.shm import segment
from rerun_mp.shm.layout import Header, Kind, Line, SlotState
from rerun_mp.shm.segment import ClaimLocks
from rerun_mp.shm.writer import SlotWriter

path, seed, end, go = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
joined = segment.attach(path)
assert joined is not None
ring, geometry, rng = joined.ring, joined.ring.geometry, random.Random(seed)
words, size = ring.words, geometry.slot_bytes
alive = memoryview(bytearray([1]))
mine = Registration.take(joined, lambda _: time.sleep(0.001), 1, alive, 0)
writer = SlotWriter(ring, mine.owner, alive, 0)
EXTREMES = (0, 1, 2, 3, 8, 255, 65536, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
HEADER_WORDS = (
    *(Header.SWEEP_DONE, Header.ATTENTION, Header.FREE_SLOTS, Header.WORKER_PID, Header.SESSION_STATE),
    *(Header.WORKER_LIVES, Header.DAMAGED_SLOTS, Header.NONCE_LOW, Header.RUNTIME_DIRECTORY // 8),
    *(Header.SPOOL_DIRECTORY // 8, Header.SPOOL_DIRECTORY // 8 + 2),
)
"""Words that only the collector writes, and words that a process reads once, when it joins."""
LINE_WORDS = (Line.COUNT, Line.COUNT, Line.COUNT, Line.EPOCH, Line.TAKEN_A, Line.TAKEN_B, Line.KIND, Line.ROWS)
UNKNOWN_STATE = 77
"""No slot state. The slot stays the scribbler's until the scribbler is dead."""
genuine = [bytes(ring.memory[geometry.slot_offset(s) : geometry.slot_offset(s + 1)]) for s in range(2)]
# The forged rows are not the delivered ones.
genuine = [slot.replace(b"/begun", b"/forge") for slot in genuine]
print("joined", flush=True)
# A process that joins reads the session's directories from the header: nothing is overwritten before all have joined.
while not os.path.exists(go):
    time.sleep(0.001)
given = kept = 0
while not os.path.exists(end):
    with FileIO(joined.open(), "r+") as file:
        locks = ClaimLocks(joined, file.fileno())
        kinds = [rng.choice((Kind.FRAMES, Kind.HEAD, Kind.PART, Kind.TABLE)) for _ in range(rng.randrange(1, 5))]
        slots = writer.claim(kinds, rng.randrange(geometry.slots), locks.lock, locks.reserve)
    for slot in slots:
        # Mostly genuine bytes, damaged below: the collector would refuse random bytes at once.
        content = rng.choice(genuine) if rng.random() < 0.7 else bytes(size)
        ring.memory[geometry.slot_offset(slot) : geometry.slot_offset(slot + 1)] = content
    for _ in range(rng.randrange(60)):
        if not slots:
            time.sleep(0.001)
            break
        slot = rng.choice(slots)
        if rng.random() < 0.5:
            at = geometry.slot_offset(slot) + rng.choice((0, 8, size * 3 // 4, rng.randrange(0, size - 8, 4)))
            ring.memory[at : at + 8] = rng.choice(EXTREMES).to_bytes(8, "little")
        else:
            words[geometry.line_word(slot) + rng.choice(LINE_WORDS)] = rng.choice((*EXTREMES, rng.randrange(size)))
    if rng.random() < 0.3:
        words[rng.choice(HEADER_WORDS)] = rng.choice(EXTREMES)
    if rng.random() < 0.1:
        # Only unused entries of the table: used ones belong to other producers, like their slots.
        entry = geometry.producer_word(rng.randrange(32, geometry.producers))
        words[entry + rng.randrange(8)] = rng.choice(EXTREMES)
    for slot in slots:
        state: int = rng.choice((*[SlotState.SEALED] * 18, SlotState.ABANDONED))
        if kept < 8 and rng.random() < 0.05:
            state, kept = UNKNOWN_STATE, kept + 1
        ring.states[slot] = mine.owner | state
        given += 1
print("gave", given, flush=True)
