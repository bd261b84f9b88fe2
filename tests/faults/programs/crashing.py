"""Workers end in several ways: crashing.py PATH METHOD. Prints a dictionary of their names and pids."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys

import rerun_mp as rr

WAYS = ("SIGKILL", "segfault", "SIGTERM", "SIGINT", "exits", "executes", "returns", "SIGUSR1")


def work(how: str) -> None:
    """Log 1,234 rows, and end in the way `how`."""
    for step in range(1234):
        rr.log(how, rr.Scalars(float(step)))
    if how == "segfault":
        ctypes.string_at(0)
    elif how.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, how))
    elif how == "exits":
        os._exit(3)
    elif how == "executes":
        os.execvp("true", ["true"])


def main() -> None:
    """Start a worker for each way."""
    rr.init("rerun_mp_crash")
    rr.save(sys.argv[1])
    context = multiprocessing.get_context(sys.argv[2])
    workers = [
        context.Process(target=work, args=(how,), name=f"worker {how}")  # type: ignore[attr-defined]
        for how in WAYS
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print({worker.name: worker.pid for worker in workers})


if __name__ == "__main__":
    main()
