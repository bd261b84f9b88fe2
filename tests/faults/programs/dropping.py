"""A program of three processes that log, without a sink, until a file appears. Usage: dropping.py FILE STOP.

Each process prints `NAME PID LOGGED`. At the end the parent sets the file, and prints a line
`account PID LOGGED DELIVERED DROPPED` for each producer.
"""

from __future__ import annotations

import os
import sys

import numpy as np

import rerun_mp as rr
from rerun_mp.session.waiting import wait_until


def only_this_process_lives() -> bool:
    """Return whether the accounts of all children are closed."""
    return not any(account.is_live for account in rr.statistics().producers if account.pid != os.getpid())


def main(path: str, stop: str) -> None:
    """Log more than the spool takes, then set a file."""
    rr.init("rerun_mp_dropping")
    random = np.random.default_rng(0)
    children = []
    name = "parent"
    for number in range(2):
        child = os.fork()
        if child == 0:
            name = f"child_{number}"
            break
        children.append(child)
    logged = 0
    while not os.path.exists(stop):
        for step in range(50):
            rr.log(f"{name}/scalar", rr.Scalars(float(step)))
            rr.log(f"{name}/image", rr.Image(random.integers(0, 256, (100, 100, 3), np.uint8)))
            logged += 2
    print(name, os.getpid(), logged, flush=True)
    if name != "parent":
        os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    rr.flush()
    wait_until(only_this_process_lives, 30)
    rr.save(path)
    rr.flush()
    for account in rr.statistics().producers:
        print("account", account.pid, account.logged, account.delivered, account.dropped, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
