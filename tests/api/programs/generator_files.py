"""A user's program: a generator's file is complete when the generator ends or is closed.

Usage: generator_files.py ENDED CLOSED.
"""

from __future__ import annotations

import sys
from collections.abc import Generator

import rerun_mp as rr
from tests.harness.recordings import rows_of, verify


@rr.thread_local_stream("job")
def job(path: str) -> Generator[int, None, None]:
    rr.save(path)
    try:
        for step in range(3):
            rr.log("step", rr.Scalars(step))
            yield step
    finally:
        rr.log("step", rr.Scalars(7))


list(job(sys.argv[1]))
closed_early = job(sys.argv[2])
next(closed_early)
next(closed_early)
closed_early.close()
assert rr.get_data_recording() is None
for path, rows in zip(sys.argv[1:], (4, 3), strict=True):
    verify(path)
    assert len(rows_of(path)) == rows, path
