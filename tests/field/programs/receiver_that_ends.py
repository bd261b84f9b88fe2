"""The receiver of a program is killed or frozen after half of the rows.

Usage: receiver_that_ends.py PORT PID SIGNAL ROWS [FILE]. It prints the time (ns) at which its last line has run.
"""

from __future__ import annotations

import os
import sys
import time

import rerun_mp as rr

port, pid, signal_number, rows = map(int, sys.argv[1:5])
rr.init("app", recording_id="delivery")
rr.set_sinks(rr.GrpcSink(f"rerun+http://127.0.0.1:{port}/proxy"), *(rr.FileSink(path) for path in sys.argv[5:]))


def log(numbers: range) -> None:
    for number in numbers:
        rr.set_time("step", sequence=number)
        rr.log("x", rr.Scalars(number))
    rr.flush()


log(range(rows // 2))
while not any(sink.acknowledged_rows == rows // 2 for sink in rr.statistics().sinks):
    time.sleep(0.02)
if signal_number:
    os.kill(pid, signal_number)
log(range(rows // 2, rows))
found = rr.statistics()
print(found.logged, found.stored, flush=True)
print(time.time_ns(), flush=True)
