"""Images in a loop: the fast path, which reuses the bytes of the row before, writes the rows of the slow path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

LOOP = """
    import os, sys, threading
    import numpy as np
    import rerun_mp as rr
    from rerun_mp.api.lanes import active_lanes
    from rerun_mp.producer.repeated_blobs import BlobAppend

    rr.init("app")
    rr.save(sys.argv[1])
    classes = {
        "Image": lambda pixels: rr.Image(pixels),
        "DepthImage": lambda pixels: rr.DepthImage(pixels[..., 0].astype(np.uint16), meter=1000.0),
        "SegmentationImage": lambda pixels: rr.SegmentationImage(pixels[..., 0]),
        "Tensor": lambda pixels: rr.Tensor(pixels),
    }

    def loop(who):
        rr.reset_time()
        for step in range(4):
            rr.set_time("step", sequence=step)
            if step == 2:
                rr.set_time("elapsed", duration=0.5)
            for size in (150, 500, 800):
                for name, make in classes.items():
                    pixels = np.random.default_rng(size + step).integers(0, 255, (size, size, 3), np.uint8)
                    rr.log(f"{who}/{name}/{size}", make(pixels))
                    assert isinstance(active_lanes.lane.tables[getattr(rr, name)].__self__, BlobAppend)
        rr.log(f"{who}/static", rr.Image(pixels), static=True)
        rr.log([who, "list"], rr.Image(pixels))
        rr.log(f"{who}/two", rr.Image(pixels), rr.TextLog("seen"))

    loop("parent")
    threads = [threading.Thread(target=loop, args=(f"thread{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    child = os.fork()
    if child == 0:
        loop("child")
        os._exit(0)
    for thread in threads:
        thread.join()
    assert os.waitpid(child, 0)[1] == 0
    rr.disconnect()
"""
FIELDS = {
    "Image": "Image:buffer",
    "DepthImage": "DepthImage:buffer",
    "SegmentationImage": "SegmentationImage:buffer",
    "Tensor": "Tensor:data",
}


def test_a_loop_over_images_of_many_sizes_logs_each_byte_for_byte(run_python: RunPython, place: Path) -> None:
    """In one slot and over several, from threads and a child forked meanwhile, with a timeline added later."""
    path = place / "out.rrd"
    run_python(LOOP, path, timeout=90.0).check()
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


SPARES = """
    import os, sys, time
    import numpy as np
    import rerun_mp as rr
    from rerun_mp.session import current
    from rerun_mp.shm.layout import SlotState

    rr.init("app")
    rr.save(sys.argv[1])
    image = rr.Image(np.zeros((480, 640, 3), np.uint8))
    ring = current.session().segment.ring
    def held():
        return sum(state & 0xFF == SlotState.OPEN for state in ring.states.tolist())
    def wait_until_none():
        while held():  # the collector frees what it has stored; the test's own limit ends a wait in vain
            time.sleep(0.001)

    for n in range(5):
        rr.log("image", image)
    assert held() > 0, "a loop has slots claimed ahead"
    current.session().seal()
    wait_until_none()
    child = os.fork()
    if child == 0:
        rr.log("child", image)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    wait_until_none()
    rr.log("image", image)
    rr.disconnect()
"""


@pytest.mark.parametrize("ring_bytes", [128 << 20, 16 << 20], ids=["128 MiB", "16 MiB"])
def test_slots_claimed_ahead_come_back(ring_bytes: int, run_python: RunPython, place: Path) -> None:
    """A process holds a few spare slots for images to come, and none once it has sealed or was killed."""
    path = place / "out.rrd"
    run_python(SPARES, path, env={"RERUN_MP_RING_BYTES": str(ring_bytes)}, timeout=60.0).check()
    assert sorted(row.entity_path for row in rows_of(path)) == ["child"] + ["image"] * 6
