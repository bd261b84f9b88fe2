"""A user's program: workers of one start method log, and end in one way; see tests/faults/test_endings.py.

Usage: matrix.py METHOD ENDING FILE WORKERS. There are four groups of WORKERS workers, at most `MAX_WORKERS`: with and
without `init` in the worker, with and without the decorator. Each worker logs `ROWS` rows on an entity of its own.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import rerun_mp as rr

APPLICATION = "rerun_mp_endings"
ROWS = 1000
MAX_WORKERS = 4


def log_rows(group: str, worker: int, *, calls_init: bool) -> None:
    """Log `ROWS` rows."""
    if calls_init:
        rr.init(APPLICATION)
    for step in range(ROWS):
        rr.set_time("step", sequence=step)
        rr.log(f"{group}/{worker}", rr.Scalars(float(step)))


def end(ending: str) -> None:
    """End this process in the given way. Some ways return."""
    if ending == "exception":
        raise RuntimeError("this worker raises on purpose")
    if ending == "os._exit":
        os._exit(0)
    if ending == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
    if ending == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if ending == "segfault":
        ctypes.string_at(0)


def plain(worker: int, ending: str) -> None:
    """Log without `init` and decorator."""
    log_rows("plain", worker, calls_init=False)
    end(ending)


def initialised(worker: int, ending: str) -> None:
    """Call init in the worker, as rerun's own example does."""
    log_rows("initialised", worker, calls_init=True)
    end(ending)


@rr.shutdown_at_exit
def decorated(worker: int, ending: str) -> None:
    """Log under the decorator."""
    log_rows("decorated", worker, calls_init=False)
    end(ending)


@rr.shutdown_at_exit
def both(worker: int, ending: str) -> None:
    """Log with `init` and under the decorator."""
    log_rows("both", worker, calls_init=True)
    end(ending)


FUNCTIONS = (plain, initialised, decorated, both)
TASKS = [(function, worker) for worker in range(MAX_WORKERS) for function in FUNCTIONS]
"""For the pools, which take the first ones."""


def call(task: int) -> int:
    """Run one task, in a pool's worker."""
    function, worker = TASKS[task]
    function(worker, "return")
    return task


def main() -> None:
    """Run all workers of all groups, one group at a time."""
    method, ending, path = sys.argv[1:4]
    workers = int(sys.argv[4])
    context: Any = multiprocessing.get_context(method)
    rr.init(APPLICATION)
    rr.save(path)
    numbers = range(len(FUNCTIONS) * workers)
    pool_size = max(2, workers)
    if ending == "pool left by with":
        with context.Pool(pool_size) as pool:
            assert pool.map(call, numbers, chunksize=1) == list(numbers)
    elif ending == "pool closed and joined":
        pool = context.Pool(pool_size, maxtasksperchild=1)
        pool.map(call, numbers, chunksize=1)
        pool.close()
        pool.join()
    elif ending == "executor":
        with ProcessPoolExecutor(pool_size, mp_context=context) as executor:
            assert list(executor.map(call, numbers)) == list(numbers)
    else:
        arguments = [(worker, ending) for worker in range(workers)]
        processes = [context.Process(target=function, args=given) for function in FUNCTIONS for given in arguments]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print([process.exitcode for process in processes], flush=True)


if __name__ == "__main__":
    main()
