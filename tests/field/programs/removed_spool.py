"""Removes the spool of its session, and goes on; see tests/field/test_removed_directories.py.

Usage: removed_spool.py PATH [late] [killed]. `late`: the file is set at the end. `killed`: a worker is killed after it
has put the spool back.
"""

from __future__ import annotations

import glob
import os
import shutil
import signal
import sys

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.session.waiting import wait_until
from rerun_mp.shm.layout import Header

ROWS = 100


def log(entity: str) -> None:
    for step in range(ROWS):
        rr.log(entity, rr.Scalars(float(step)))
    rr.flush()


if __name__ == "__main__":
    path, *how = sys.argv[1:]
    rr.init("rerun_mp_thrown_away")
    if "late" not in how:
        rr.save(path)
    log("before")
    session = current.session()
    assert session is not None
    segment = session.segment
    shutil.rmtree(segment.spool_directory)
    log("after")
    if "killed" in how:
        assert wait_until(lambda: bool(glob.glob(f"{segment.spool_directory}/*/journal.json")), 30.0)
        worker = segment.ring.words[Header.WORKER_PID]
        os.kill(worker, signal.SIGKILL)
        assert wait_until(lambda: segment.ring.words[Header.WORKER_PID] != worker, 30.0)
    log("later")
    if "late" in how:
        rr.save(path)
