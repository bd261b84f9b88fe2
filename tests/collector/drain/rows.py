"""Rows in a segment without a collector, and what a store would do with their sweep."""

from __future__ import annotations

from rerun_mp.collector.drain.chunks import BuiltChunks
from rerun_mp.collector.drain.frame_chunks import build_chunks
from rerun_mp.collector.drain.sweep import Sweep, Sweeper
from rerun_mp.encoding.frames import FrameKind, Rows
from rerun_mp.producer.producer import Producer
from rerun_mp.shm.doorbell import Ringer
from rerun_mp.shm.leases import ForkGuard
from rerun_mp.shm.segment import Segment
from tests.collector.made_frames import SCALARS, scalars_frame

__all__ = ["SLOTS", "SLOT_BYTES", "deliver", "log", "states"]

SLOTS = 16
SLOT_BYTES = 4096


def log(made: Segment, numbers: int) -> None:
    """Log one frame of `numbers` rows; 500 of them are a chain of three slots."""
    frame = scalars_frame([float(n) for n in range(numbers)], row_id=(7, 0))
    producer = Producer(made, ForkGuard(), Ringer(made.nonce), _must_not_wait, lambda: None)
    body = bytes(frame.body)
    rows = Rows(SCALARS, frame.entity_path.encode(), (body,), len(body), frame.rows, FrameKind.ROWS)
    assert producer.append(rows)
    producer.close()


def _must_not_wait(_attempt: int) -> None:
    raise AssertionError("there is space")


def states(made: Segment) -> list[int]:
    """Return the state of each slot."""
    return [state & 0xFF for state in made.ring.states.tolist()]


def deliver(made: Segment, sweeper: Sweeper, sweep: Sweep | None) -> BuiltChunks:
    """Do the rest of a sweep, as if a store had taken its chunks."""
    assert sweep is not None
    built = build_chunks(sweep.taken, nonce=made.nonce)
    sweeper.begin(sweep)
    sweeper.complete(sweep, built)
    sweeper.freer.free_done()
    return built
