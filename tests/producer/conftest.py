"""A segment in /dev/shm, and producers in it, without a collector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.encoding.frames import FrameKind, RecordingKey, Rows, Shape
from rerun_mp.producer.producer import Producer
from rerun_mp.shm.doorbell import Ringer
from rerun_mp.shm.layout import Geometry
from rerun_mp.shm.leases import ForkGuard
from rerun_mp.shm.segment import Segment
from tests.harness.segments import new_segment

SHAPE = Shape(RecordingKey("app", "rec"), False, b"schema")


def make_rows(size: int, *, shape: Shape = SHAPE, rows: int = 1) -> Rows:
    """Return rows whose batch has `size` bytes."""
    return Rows(shape, b"/entity", (memoryview(bytes(size)),), size, rows, FrameKind.ROWS)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment of 8 slots and 4 producers."""
    with new_segment(tmp_path / "sessions", Geometry(65536, 8, 4)) as own:
        yield own


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment of 64 small slots, of which 4 are claimed ahead for large messages."""
    with new_segment(tmp_path / "sessions", Geometry(4096, 64, 4)) as own:
        yield own


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment whose slots suffice for more tables than a producer keeps."""
    with new_segment(tmp_path / "sessions", Geometry(4096, 256, 4)) as own:
        yield own


def register(made: Segment) -> Producer:
    """Return a new producer that must not wait."""

    def wait(_attempt: int) -> None:
        raise AssertionError("the producer waits")

    return Producer(made, ForkGuard(), Ringer(made.nonce), wait, lambda: None)
