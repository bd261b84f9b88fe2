"""Usage: session_figures.py FILE SECONDS|none STOP_LOGGING END. Fills a small ring until rows are dropped.

It logs until STOP_LOGGING exists, prints when it began (ns), the rows that were delivered and those that were dropped,
and ends when END exists.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

import rerun_mp as rr

path, every, stop_logging, end = sys.argv[1:]
began_ns = time.time_ns()
figures = None if every == "none" else float(every)
rr.init("rerun_mp_figures", settings=rr.Settings(figures=figures, policy=rr.Policy.DROP, ring_bytes=2 << 20))
rr.save(path)
rr.log("first", rr.Scalars(1.0))
rr.flush()
print("logging", flush=True)
while not Path(stop_logging).exists() or not sum(account.dropped for account in rr.statistics().producers):
    rr.log("image", rr.Image(np.zeros((500, 500), np.uint8)))
rr.flush()
(account,) = rr.statistics().producers
print(began_ns, account.delivered, account.dropped, "flushed", flush=True)
while not Path(end).exists():
    time.sleep(0.01)
