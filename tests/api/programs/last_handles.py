"""A user's program: a file is complete once the last handle of its recording is gone.

Usage: last_handles.py FILE CYCLE OTHER KEPT. The garbage collector finds the handle of CYCLE, in the middle of a `save`
or later. The handle of KEPT stays until the program's end.
"""

from __future__ import annotations

import gc
import sys

import rerun_mp as rr
from tests.harness.recordings import rows_of, verify


def log(path: str, number: int, *, is_in_cycle: bool = False) -> None:
    recording = rr.RecordingStream("app", send_properties=False)
    recording.save(path)
    for step in range(number):
        recording.log("step", rr.Scalars(step))
    if is_in_cycle:
        cycle: list[object] = [recording]
        cycle.append(cycle)


log(sys.argv[1], 7)
verify(sys.argv[1])
assert len(rows_of(sys.argv[1])) == 7
gc.disable()
log(sys.argv[2], 8, is_in_cycle=True)
other = rr.RecordingStream("other")
gc.enable()
gc.set_threshold(1)
other.save(sys.argv[3])
gc.set_threshold(700)
gc.collect()
verify(sys.argv[2])
assert len(rows_of(sys.argv[2])) == 8
kept = rr.RecordingStream("kept")
kept.save(sys.argv[4])
kept.log("step", rr.Scalars(0.0))
