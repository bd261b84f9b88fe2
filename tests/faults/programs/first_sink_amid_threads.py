"""Threads of a child log while the child sets its first sink; see tests/faults/test_scope.py.

Usage: first_sink_amid_threads.py WHOLE OWN. Prints the number of rows of each thread without its first row.
"""

from __future__ import annotations

import os
import sys
import threading

import numpy as np

import rerun_mp as rr

THREADS = 3
ROWS_AFTER = 5


def log_in_threads(own: str) -> list[int]:
    """Log a table row, a frame and an image in a thread each, until some rows after the sink was set."""
    started, is_set = threading.Barrier(THREADS + 1), threading.Event()
    image = np.zeros((480, 640), np.uint8)
    logged = [0] * THREADS

    def work(number: int) -> None:
        archetype = [rr.Scalars(1.0), rr.AnyValues(value=1), rr.Image(image)][number]
        rr.log(f"thread/{number}", archetype)
        started.wait()
        after = 0
        while after < ROWS_AFTER:
            after += is_set.is_set()
            rr.log(f"thread/{number}", archetype)
            logged[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    started.wait()
    rr.save(own)
    is_set.set()
    for thread in threads:
        thread.join()
    return logged


if __name__ == "__main__":
    rr.init("rerun_mp_scope")
    rr.save(sys.argv[1])
    if os.fork() == 0:
        rows = log_in_threads(sys.argv[2])
        recording = rr.get_global_data_recording()
        assert recording is not None
        recording.flush()
        print(*rows, flush=True)
        assert min(rows) >= ROWS_AFTER
        os._exit(0)
    assert os.wait()[1] == 0
