"""A segment without a session: no collector, directories of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.session.directories import remove_tree
from rerun_mp.shm import segment
from rerun_mp.shm.layout import Geometry
from rerun_mp.shm.segment import Segment


@pytest.fixture
def lone_segment(place: Path) -> Iterator[Segment]:
    """Create a segment whose directories are made at the first need."""
    path = f"/dev/shm/rmp-test-{os.getpid()}-{os.urandom(4).hex()}"
    directories = {name: str(place / name / "rerun_mp" / "session") for name in ("runtime", "spool")}
    made = segment.create(
        path,
        Geometry(slot_bytes=65536, slots=16, producers=64),
        os.urandom(16),
        runtime_directory=directories["runtime"],
        spool_directory=directories["spool"],
    )
    assert made is not None
    try:
        yield made
    finally:
        os.unlink(path)
        for directory in directories.values():
            remove_tree(directory)
