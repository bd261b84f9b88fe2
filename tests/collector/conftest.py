"""Fixtures for tests of the collector: a segment without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.shm.layout import Geometry
from rerun_mp.shm.segment import Segment
from tests.collector.drain.rows import SLOT_BYTES, SLOTS
from tests.harness.segments import new_segment


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment without a collector."""
    with new_segment(tmp_path, Geometry(SLOT_BYTES, SLOTS, 4)) as own:
        yield own
