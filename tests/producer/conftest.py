"""A segment in /dev/shm, and producers in it, without a collector."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.encoding.frames import FrameKind, RecordingKey, Rows, Shape
from rerun_mp.producer.producer import Producer
from rerun_mp.shm import segment
from rerun_mp.shm.doorbell import Ringer
from rerun_mp.shm.layout import Geometry
from rerun_mp.shm.leases import ForkGuard
from rerun_mp.shm.segment import Segment

SHAPE = Shape(RecordingKey("app", "rec"), False, b"schema")


def make_rows(size: int, *, shape: Shape = SHAPE, rows: int = 1) -> Rows:
    """Return rows whose batch has `size` bytes."""
    return Rows(shape, b"/entity", (memoryview(bytes(size)),), size, rows, FrameKind.ROWS)


def open_segment(directory: Path, geometry: Geometry) -> Segment:
    """Make a segment whose directories lie in `directory`. The caller removes its file."""
    path = f"/dev/shm/rmp-test-{os.getpid()}-{os.urandom(4).hex()}"
    directories = [str(directory / "sessions" / name) for name in ("runtime", "spool")]
    made = segment.create(
        path, geometry, os.urandom(16), runtime_directory=directories[0], spool_directory=directories[1]
    )
    assert made is not None
    return made


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment of 8 slots and 4 producers."""
    own = open_segment(tmp_path, Geometry(65536, 8, 4))
    yield own
    os.unlink(own.path)


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment of 64 small slots, of which 4 are claimed ahead for large messages."""
    own = open_segment(tmp_path, Geometry(4096, 64, 4))
    yield own
    os.unlink(own.path)


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment whose slots suffice for more tables than a producer keeps."""
    own = open_segment(tmp_path, Geometry(4096, 256, 4))
    yield own
    os.unlink(own.path)


def register(made: Segment) -> Producer:
    """Return a new producer that must not wait."""

    def wait(_attempt: int) -> None:
        raise AssertionError("the producer waits")

    return Producer(made, ForkGuard(), Ringer(made.nonce), wait, lambda: None)
