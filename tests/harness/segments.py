"""Segments without a session: no process joins them, and no collector drains them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rerun_mp.shm import segment
from rerun_mp.shm.layout import Geometry
from rerun_mp.shm.segment import Segment

__all__ = ["new_segment"]


@contextmanager
def new_segment(directory: Path, geometry: Geometry) -> Iterator[Segment]:
    """Make a segment for the block, with its directories in `directory`. Its file is removed after the block."""
    made = segment.create(
        f"/dev/shm/rmp-test-{os.getpid()}-{os.urandom(4).hex()}",
        geometry,
        os.urandom(16),
        runtime_directory=str(directory / "runtime"),
        spool_directory=str(directory / "spool"),
    )
    assert made is not None
    try:
        yield made
    finally:
        for path in (made.living_path, made.ending_path):
            Path(path).unlink(missing_ok=True)
