"""Removes the file to which it logs, or its directory, and goes on; see tests/field/test_removed_files.py.

Usage: removed_file.py PATH file|directory running|ending [parts] [in-the-way]. A file may come in
the way of the directory. Logs a row before and 201 afterwards. Prints the sink's failure.
"""

from __future__ import annotations

import os
import shutil
import sys
import time

import rerun_mp as rr

ROWS = 200

if __name__ == "__main__":
    path, removed, moment, *further = sys.argv[1:]
    rotates = "parts" in further
    rr.init("rerun_mp_removed")
    rr.save(path, rotate=rr.Rotation(bytes=1 << 14) if rotates else None)
    rr.log("before", rr.Scalars(0.0))
    rr.flush()
    present = path.replace(".rrd", ".0001.rrd") if rotates else path
    if removed == "file":
        os.unlink(present)
    else:
        shutil.rmtree(os.path.dirname(path))
    if "in-the-way" in further:
        with open(os.path.dirname(path), "x"):
            pass
    for step in range(ROWS):
        rr.log("after", rr.Scalars(float(step)))
        if rotates and step % 10 == 0:
            rr.flush()
    rr.flush()
    deadline = time.monotonic() + 30.0
    while moment == "running" and not os.path.exists(present):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    rr.log("after", rr.Scalars(0.0))
    (sink,) = rr.statistics().sinks
    print(sink.failure)
