"""A user's program: a signal handler logs in the middle of `log`. Usage: logging_in_a_handler.py FILE KIND.

KIND is `tables` or `frames`. Prints how many rows the loop logged, and how many the handler did.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import pyarrow as pa

import rerun_mp as rr

rr.init("rerun_mp_signals")
rr.save(sys.argv[1])
# Most calls for numbers append to a table without a lock. No table holds large strings: their calls hold the mutex.
row = rr.Scalars(1.0) if sys.argv[2] == "tables" else rr.AnyValues(remark=pa.array(["one"], pa.large_string()))
rr.log("warm", row)
inner = 0


def handler(_number: int, _frame: FrameType | None) -> None:
    global inner
    rr.log("handler", row)
    inner += 1
    signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.000001 * inner)


signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
outer = 0
while inner < 500:
    rr.log("outer", row)
    outer += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(outer, inner)
