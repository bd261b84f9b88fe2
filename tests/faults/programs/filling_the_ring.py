"""A program of three processes that log rows of every kind. Usage: filling_the_ring.py FILE FIFO COUNTS.

Prints `ready`, logs when the FIFO is opened, prints `logged`, and waits until the FIFO is opened again. Each child
writes its counts to the file COUNTS-PID. Finally the program prints JSON: whether the accounts are as expected, the
accounts, and the counts of each process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import rerun_mp as rr
from rerun_mp.session.waiting import wait_until

STEPS = 100
STEPS_PER_LARGE = 50


def log_all(name: str, called: int = 0) -> dict[str, Any]:
    """Log, and return the numbers of accepted and refused rows, and the last error."""
    counts: dict[str, Any] = {"name": name, "called": called, "refused": 0}
    image, large = np.zeros((40, 40, 3), np.uint8), np.zeros((200, 300, 3), np.uint8)
    columns = rr.Scalars.columns(scalars=np.arange(7.0))
    times = [rr.TimeColumn("step", sequence=range(7))]
    calls: tuple[tuple[str, int, Callable[[str], None]], ...] = (
        ("scalar", 1, lambda path: rr.log(path, rr.Scalars(1.0))),
        ("text", 1, lambda path: rr.log(path, rr.TextLog("a line of text", level="INFO"))),
        ("points", 1, lambda path: rr.log(path, rr.Points3D([[1.0, 2.0, 3.0]]))),
        ("image", 1, lambda path: rr.log(path, rr.Image(image))),
        ("large", 1, lambda path: rr.log(path, rr.Image(large))),
        ("columns", 7, lambda path: rr.send_columns(path, times, columns)),
    )
    for step in range(STEPS):
        rr.set_time("step", sequence=step)
        for kind, rows, call in calls:
            if kind == "large" and step % STEPS_PER_LARGE:
                continue
            try:
                call(f"{name}/{kind}")
                counts["called"] += rows
            except rr.RingFullError as error:
                counts["refused"] += rows
                counts["message"] = str(error)
    return counts


def wait_for(fifo: str) -> None:
    """Wait until the test has opened the FIFO."""
    with open(fifo, "rb") as file:
        file.read()


def main(path: str, fifo: str, counts_path: str) -> None:
    """Log from a parent and two children."""
    rr.init("rerun_mp_full")
    rr.save(path)
    rr.log("warm", rr.Scalars(0.0))
    rr.flush()
    print("ready", flush=True)
    wait_for(fifo)
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            counts = log_all(f"child_{number}")
            with open(f"{counts_path}-{os.getpid()}", "w") as file:
                json.dump(counts, file)
            os._exit(0)
        children.append(child)
    expected = {os.getpid(): log_all("parent", called=1)}
    for child in children:
        os.waitpid(child, 0)
    print("logged", flush=True)
    wait_for(fifo)
    for child in children:
        with open(f"{counts_path}-{child}") as file:
            expected[child] = json.load(file)

    def is_drained() -> bool:
        found = {account.pid: account.logged for account in rr.statistics().producers}
        return found == {pid: counts["called"] for pid, counts in expected.items()}

    is_exact = wait_until(is_drained, 30)
    accounts = [
        [a.pid, a.name, a.logged, a.delivered, a.dropped, a.dropped_by_policy, a.refused, a.blocked_ns]
        for a in rr.statistics().producers
    ]
    print(json.dumps({"is_exact": is_exact, "accounts": accounts, "expected": expected}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
