"""A user's program: `series` and `log` get the same numbers and times. Usage: series_beside_log.py FILE."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import rerun_mp as rr

rr.init("app")
rr.save(sys.argv[1])
number = rr.series("series")


def both(value: Any) -> None:
    rr.log("log", rr.Scalars(value))
    number(value)


for step in range(4000):  # more rows than a table holds
    rr.set_time("step", sequence=step)
    both(0.5 * step)
rr.set_time("elapsed", duration=0.25)
for value in (
    *(1, True, np.float32(0.1), np.uint8(3), np.int64(-5), np.float16(2), float("nan"), [1.0, 2.0]),
    *(np.arange(3.0), [], 2**200 // 2**100),
):
    both(value)
rr.disable_timeline("step")
both(1.0)
rr.reset_time()
both(2.0)
rr.set_log_time_enabled(False)
rr.set_time("t", sequence=1)
both(3.0)
rr.set_log_time_enabled(True)
both(4.0)
for name in "abc":  # more timelines than a table holds
    rr.set_time(name, timestamp=7.0)
both(5.0)
rr.disconnect()
