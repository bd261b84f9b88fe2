"""Logs images of many sizes in loops: in the main thread, two other threads and a forked child."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import rerun_mp as rr
from rerun_mp.api.lanes import active_lanes
from rerun_mp.producer import repeated_blobs

CLASSES: dict[str, Callable[[Any], Any]] = {
    "Image": rr.Image,
    "DepthImage": lambda pixels: rr.DepthImage(pixels[..., 0].astype(np.uint16), meter=1000.0),
    "SegmentationImage": lambda pixels: rr.SegmentationImage(pixels[..., 0]),
    "Tensor": rr.Tensor,
}


def loop(who: str) -> None:
    """Log images of each class and size, with a second timeline from the third step on."""
    rr.reset_time()
    for step in range(4):
        rr.set_time("step", sequence=step)
        if step == 2:
            rr.set_time("elapsed", duration=0.5)
        for size in (200, 500, 800):
            for name, make in CLASSES.items():
                pixels = np.random.default_rng(size + step).integers(0, 255, (size, size, 3), np.uint8)
                rr.log(f"{who}/{name}/{size}", make(pixels))
                append: Any = active_lanes.lane.tables[getattr(rr, name)]
                assert append.__module__ == repeated_blobs.__name__, "the next row of this size takes the fast path"
    rr.log(f"{who}/static", rr.Image(pixels), static=True)
    rr.log([who, "list"], rr.Image(pixels))
    rr.log(f"{who}/two", rr.Image(pixels), rr.TextLog("seen"))


rr.init("app")
rr.save(sys.argv[1])
loop("parent")
threads = [threading.Thread(target=loop, args=(f"thread{number}",)) for number in range(2)]
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
