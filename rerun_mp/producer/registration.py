"""A process's entry in the producers table, and the lease that says it lives.

A new producer takes an entry that is FREE and whose lock is not held. Only the collector makes an entry FREE, after
it has delivered every slot of that (index, generation). So a slot never seems to belong to a living process that has
the same index as the slot's dead owner.
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
from rerun_mp.shm.reserve import open_or_duplicate
from rerun_mp.shm.transient import close_in_children, no_forks, releases_in_children
from rerun_mp.shm.writer import ForkedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rerun_mp.shm.reserve import Reserve
    from rerun_mp.shm.segment import Segment

__all__ = ["Registration"]

COUNTERS = (
    ProducerWord.DROPPED,
    ProducerWord.BLOCKED_NS,
    ProducerWord.REFUSED,
    ProducerWord.LEFT,
    *(first + word for first in (ProducerWord.TOTAL, ProducerWord.DAMAGE) for word in range(ProducerWord.PAIRS)),
)
"""Words of an entry that begin at 0."""


class Registration:
    """An entry, held until it is released or the process ends."""

    __slots__ = ("_lease", "_reserve", "generation", "index")

    def __init__(self, index: int, generation: int, lease: leases.Lease, reserve: Reserve | None = None) -> None:
        self.index = index
        self.generation = generation
        self._lease = lease
        self._reserve = reserve
        """The segment's reserve, if the lease's lock is on its description, which stays open."""

    @property
    def owner(self) -> int:
        """The owner that the state words of this producer's slots name."""
        return pack_owner(self.index, self.generation)

    def release(self) -> None:
        """Release the lease: from now on the collector takes this producer for dead."""
        self._lease.release()
        if self._reserve is not None:
            self._reserve.unlock(Lock.PRODUCERS + self.index)

    @classmethod
    def take(
        cls,
        segment: Segment,
        wait: Callable[[int], None],
        first_row: int,
        alive: memoryview,
        armed: int,
        *,
        scope: int = 0,
    ) -> Registration:
        """Take a free entry. While there is none, wait for the collector to free one.

        Parameters
        ----------
        segment
            The session's segment.
        wait
            Waits once. Its argument is the number of the attempt, from 0 on.
        first_row
            The counter half of the producer's first row id.
        alive, armed
            Byte `armed` of `alive` is 0 in a child forked since it was armed.
        scope
            Token of the producer's scope (`config.Scope`). 0: none.

        Raises
        ------
        ForkedError
            In a child forked during this call. The child has not changed its parent's entry.
        """
        attempt = 0
        while True:
            registration = _try_all(segment, first_row, alive, armed, scope)
            if registration is not None:
                return registration
            wait(attempt)
            attempt += 1


def _try_all(segment: Segment, first_row: int, alive: memoryview, armed: int, scope: int = 0) -> Registration | None:
    """Take the first free entry. None: there is none."""
    seen, geometry = segment.ring.words, segment.ring.geometry
    for index in range(geometry.producers):
        # One by one: usually one of the first entries is free, and each further page would have to be mapped.
        if seen[geometry.producer_word(index) + ProducerWord.STATE] & 0xFF != ProducerState.FREE:
            continue
        entry = geometry.producer_word(index)
        with (
            no_forks(),
            FileIO((opened := open_or_duplicate(segment.open, segment.reserve))[0], "r+") as file,
            releases_in_children(segment.ring.words) as words,
            releases_in_children(segment.ring.memory) as memory,
        ):
            descriptor = close_in_children(file)
            reserve = segment.reserve if opened[1] else None
            if not leases.try_lock(descriptor, Lock.PRODUCERS + index):
                continue
            # Read again under the lock: another producer may have come and gone.
            found = words[entry + ProducerWord.STATE]
            if found & 0xFF != ProducerState.FREE:
                if reserve is not None:
                    reserve.unlock(Lock.PRODUCERS + index)
                continue
            generation = ((found >> 8) + 1) & GENERATION_MASK or 1
            values = {
                **dict.fromkeys(COUNTERS, 0),
                ProducerWord.FIRST_ROW: first_row,
                ProducerWord.PID: os.getpid(),
                ProducerWord.STARTED_NS: max(0, time.time_ns()),
                ProducerWord.SCOPE: scope,
            }
            name = _process_name().encode(errors="replace")[:NAME_BYTES].ljust(NAME_BYTES, b"\0")
            begin = geometry.producers_offset + index * PRODUCER_BYTES + NAME_OFFSET
            end = begin + NAME_BYTES
            # A child of a fork made in C, where no hook releases the views, stores nothing either.
            for word, value in values.items():
                at = entry + word
                if not alive[armed]:
                    raise ForkedError
                words[at] = value
            if not alive[armed]:
                raise ForkedError
            memory[begin:end] = name
            lease = leases.Lease.keep(descriptor, inherited=False)
            state = ProducerState.LIVE | generation << 8
            at = entry + ProducerWord.STATE
            if not alive[armed]:
                raise ForkedError
            words[at] = state
        return Registration(index, generation, lease, reserve)
    return None


def _process_name() -> str:
    # Do not import multiprocessing into a program that does not use it.
    process = sys.modules.get("multiprocessing.process")
    return str(process.current_process().name) if process is not None else f"pid {os.getpid()}"
