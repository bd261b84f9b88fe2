"""A process's entry in the producers table, and the lease that says it lives.

A newcomer takes an entry that is FREE and whose byte nobody holds; only the collector makes an entry FREE, after every
slot of that (index, generation) is delivered. So a slot can never seem to belong to a living process that merely has
the same number as its dead owner.
"""

from __future__ import annotations

import os
import sys
import time
from io import FileIO
from typing import TYPE_CHECKING

from rerun_mp.shm import leases
from rerun_mp.shm.layout import (
    GENERATION_MASK,
    NAME_BYTES,
    NAME_OFFSET,
    PRODUCER_BYTES,
    Lock,
    ProducerState,
    ProducerWord,
    pack_owner,
)
from rerun_mp.shm.transient import close_in_children, no_forks

if TYPE_CHECKING:
    from collections.abc import Callable

    from rerun_mp.shm.segment import Segment

__all__ = ["Registration"]


COUNTERS = (
    ProducerWord.DROPPED,
    ProducerWord.BLOCKED_NS,
    ProducerWord.TOTAL_A,
    ProducerWord.TOTAL_B,
    ProducerWord.DAMAGE_A,
    ProducerWord.DAMAGE_B,
    ProducerWord.REFUSED,
)


class Registration:
    """An entry, held until released, or until the process ends."""

    __slots__ = ("_lease", "generation", "index")

    def __init__(self, index: int, generation: int, lease: leases.Lease) -> None:
        self.index = index
        self.generation = generation
        self._lease = lease

    @property
    def owner(self) -> int:
        """How slots name this producer."""
        return pack_owner(self.index, self.generation)

    def release(self) -> None:
        """Let the collector know that nothing more comes from this producer."""
        self._lease.release()

    @classmethod
    def take(cls, segment: Segment, wait: Callable[[int], None], first_row: int) -> Registration:
        """Take a free entry; while there is none, `wait` for the collector to free one.

        `first_row` is the counter half of the producer's first row id.
        """
        attempt = 0
        while True:
            registration = _try_all(segment, first_row)
            if registration is not None:
                return registration
            wait(attempt)
            attempt += 1


def _try_all(segment: Segment, first_row: int) -> Registration | None:
    words, geometry = segment.ring.words, segment.ring.geometry
    for index in range(geometry.producers):
        # One by one: most often the first entries do, and each page that is looked at has to be mapped.
        if words[geometry.producer_word(index) + ProducerWord.STATE] & 0xFF != ProducerState.FREE:
            continue
        entry = geometry.producer_word(index)
        with no_forks(), FileIO(segment.open(), "r+") as file:
            descriptor = close_in_children(file)
            if not leases.try_lock(descriptor, Lock.PRODUCERS + index):
                continue
            # Looked at again under the lock: somebody may have come and gone.
            found = words[entry + ProducerWord.STATE]
            if found & 0xFF != ProducerState.FREE:
                continue
            generation = ((found >> 8) + 1) & GENERATION_MASK or 1
            for word in COUNTERS:
                words[entry + word] = 0
            words[entry + ProducerWord.FIRST_ROW] = first_row
            words[entry + ProducerWord.PID] = os.getpid()
            words[entry + ProducerWord.STARTED_NS] = time.time_ns()
            name = _process_name().encode()[:NAME_BYTES].ljust(NAME_BYTES, b"\0")
            offset = geometry.producers_offset + index * PRODUCER_BYTES + NAME_OFFSET
            segment.ring.memory[offset : offset + NAME_BYTES] = name
            lease = leases.Lease.keep(descriptor, inherited=False)
            words[entry + ProducerWord.STATE] = ProducerState.LIVE | generation << 8
        return Registration(index, generation, lease)
    return None


def _process_name() -> str:
    # Without importing multiprocessing into a program that does not use it.
    process = sys.modules.get("multiprocessing.process")
    return str(process.current_process().name) if process is not None else f"pid {os.getpid()}"
