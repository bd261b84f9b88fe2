"""Usage: pool.py FILE METHOD. A pool's workers log in every way, under a prefix. Prints their process ids."""

from __future__ import annotations

import multiprocessing
import os
import sys

import numpy as np

import rerun_mp as rr
from rerun_mp.integrations.pools import initialize


def mine(greeting: str) -> None:
    rr.log("initialized", rr.TextLog(greeting))


def work(_: int) -> int:
    loss = rr.series("loss")
    for _step in range(10):
        rr.log("number", rr.Scalars(1.0))
        loss(1.0)
        rr.log(["my image"], rr.Image(np.zeros((9, 9), np.uint8)))
        rr.log("any", rr.AnyValues(a=1))
    rr.send_columns("columns", [rr.TimeColumn("step", sequence=[1, 2])], rr.Scalars.columns(scalars=[1, 2]))
    return os.getpid()


if __name__ == "__main__":
    rr.init("rerun_mp_workers")
    rr.save(sys.argv[1])
    rr.log("number", rr.Scalars(0.0))
    context = multiprocessing.get_context(sys.argv[2])
    with context.Pool(2, initialize, ("workers/{rank}", mine, ("hello",))) as pool:
        print(*pool.map(work, range(4), chunksize=1))
