"""The cost of calls on the hot path, in instructions of the interpreter. The load of the machine does not change it.

Each call is made many times in one session, under `sys.settrace`. The most frequent number of instructions counts: it
leaves out calls that open a table, and instructions that CPython 3.12 misses at first. Calls while the collector sleeps
are left out, because they wake it.

`python -m tests.harness.bytecodes` prints the figures for `tests/producer/test_hot_path.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import mode
from types import FrameType
from typing import Any

from rerun_mp.shm.layout import Header

__all__ = ["count_instructions"]

CALLS = 60


def count_instructions() -> dict[str, int]:
    """Return the instructions that each call of the hot path takes. Founds a session in this process."""
    import numpy as np

    import rerun_mp as rr

    rr.init("rerun_mp_bytecodes")
    points: Any = np.zeros((10, 3), np.float32)
    colors: Any = np.zeros((10, 4), np.uint8)
    tensor: Any = np.zeros((4, 5, 6), np.float32)
    image: Any = np.zeros((480, 640, 3), np.uint8)
    rotation: Any = (0.0, 0.0, 0.0, 1.0)
    loss = rr.series("loss")
    calls: dict[str, Callable[[], object]] = {
        "Scalars": lambda: rr.log("scalar", rr.Scalars(0.5)),
        "series": lambda: loss(0.5),
        "TextLog": lambda: rr.log("text", rr.TextLog("a line of text")),
        "TextLog with level": lambda: rr.log("text", rr.TextLog("a line of text", level="INFO")),
        "TextLog after one with level": lambda: rr.log("text", rr.TextLog("a line of text")),
        "Points3D": lambda: rr.log("points", rr.Points3D(points)),
        "Points3D with colors": lambda: rr.log("clouds", rr.Points3D(points, colors=colors, radii=0.1)),
        "Boxes3D": lambda: rr.log("boxes", rr.Boxes3D(half_sizes=points, centers=points)),
        "LineStrips3D": lambda: rr.log("strips", rr.LineStrips3D([points])),
        "Arrows3D": lambda: rr.log("arrows", rr.Arrows3D(vectors=points, colors=(255, 0, 0))),
        "AnyValues": lambda: rr.log("values", rr.AnyValues(loss=0.5, name="a")),
        "Tensor": lambda: rr.log("tensor", rr.Tensor(tensor)),
        "two archetypes": lambda: rr.log("two", rr.Scalars(0.5), rr.SeriesLines(widths=2.0)),
        "Image": lambda: rr.log("image", rr.Image(image)),
        "Transform3D": lambda: rr.log("pose", rr.Transform3D(translation=(1.0, 2.0, 3.0), quaternion=rotation)),
        "set_time": lambda: rr.set_time("step", sequence=7),
    }
    calls["set_time"]()
    return {name: _usual(call) for name, call in calls.items()}


def _usual(call: Callable[[], object]) -> int:
    """Return how many instructions most calls take while the collector is awake."""
    from rerun_mp.session import current

    joined = current.session()
    assert joined is not None
    words = joined.segment.ring.words
    counts: list[int] = []
    while len(counts) < CALLS:
        executed = _instructions_of(call)
        if words[Header.ATTENTION]:
            joined.ring_doorbell()  # the collector wakes up
        else:
            counts.append(executed)
    return mode(counts)


def _instructions_of(call: Callable[[], object]) -> int:
    """Return how many instructions the functions execute that `call` calls."""
    executed = 0

    def begin(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code is call.__code__:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return step

    def step(_: FrameType, event: str, __: object) -> Callable[..., Any]:
        nonlocal executed
        executed += event == "opcode"
        return step

    before = sys.gettrace()
    sys.settrace(begin)
    try:
        call()
    finally:
        sys.settrace(before)
    return executed


if __name__ == "__main__":
    print(f"    {sys.version_info[:2]}: {count_instructions()},")
