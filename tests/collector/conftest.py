"""Fixtures for tests of the collector: a segment without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.shm import segment
from rerun_mp.shm.layout import Geometry
from rerun_mp.shm.segment import Segment
from tests.collector.drain.rows import SLOT_BYTES, SLOTS


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment without a collector."""
    path = f"/dev/shm/rmp-test-{os.getpid()}-{os.urandom(4).hex()}"
    own = segment.create(
        path,
        Geometry(SLOT_BYTES, SLOTS, 4),
        os.urandom(16),
        runtime_directory=str(tmp_path / "runtime"),
        spool_directory=str(tmp_path / "spool"),
    )
    assert own is not None
    try:
        yield own
    finally:
        os.unlink(path)
