"""Images in a loop: the fast path, which reuses the bytes of the row before, writes the rows of the slow path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

PROGRAMS = Path(__file__).with_name("programs")
FIELDS = {
    "Image": "Image:buffer",
    "DepthImage": "DepthImage:buffer",
    "SegmentationImage": "SegmentationImage:buffer",
    "Tensor": "Tensor:data",
}


def test_a_loop_over_images_of_many_sizes_logs_each_byte_for_byte(run_python: RunPython, place: Path) -> None:
    """In one slot and over several, from threads and a child forked meanwhile, with a timeline added later."""
    path = place / "out.rrd"
    run_python(PROGRAMS / "image_loop.py", path, timeout=90.0).check()
    verify(path)
    expected = 4 * 3 * 4
    rows = rows_of(path)
    for who in ("parent", "thread0", "thread1", "child"):
        mine = [row for row in rows if row.entity_path.startswith(f"{who}/")]
        assert len(mine) == expected + 3
        for row in mine:
            _, name, *rest = row.entity_path.split("/")
            if not rest:
                assert set(row.times) == (set() if name == "static" else {"step", "elapsed", "log_time"})
                continue
            size, step = int(rest[0]), row.times["step"]
            pixels = np.random.default_rng(size + step).integers(0, 255, (size, size, 3), np.uint8)
            if name not in {"Image", "Tensor"}:
                pixels = pixels[..., 0].copy()
            if name == "DepthImage":
                pixels = pixels.astype(np.uint16)
            assert set(row.times) == {"step", "log_time"} | ({"elapsed"} if step >= 2 else set())
            field = row.components[FIELDS[name]].values[0]
            data = field["buffer"].value if name == "Tensor" else field
            assert data.values.to_numpy().tobytes() == pixels.tobytes()


@pytest.mark.parametrize("ring_bytes", [128 << 20, 16 << 20], ids=["128 MiB", "16 MiB"])
def test_slots_claimed_ahead_come_back(ring_bytes: int, run_python: RunPython, place: Path) -> None:
    """A process holds a few spare slots for images to come, and none once it has sealed or was killed."""
    path = place / "out.rrd"
    run_python(PROGRAMS / "spare_slots.py", path, env={"RERUN_MP_RING_BYTES": str(ring_bytes)}).check()
    assert sorted(row.entity_path for row in rows_of(path)) == ["child"] + ["image"] * 6
