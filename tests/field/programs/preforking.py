"""Forks workers when those before have ended, as `gunicorn --max-requests` does without `--preload`.

Usage: preforking.py PATH WORKERS nobody|master|workers. The last argument says who imports multiprocessing.
"""

from __future__ import annotations

import importlib
import os
import sys

ROWS = 50
TURNS = 4


def work(path: str, number: int, ready: int, go: int) -> None:
    """Set the file, wait until all workers of this turn have done so, and log rows."""
    import rerun_mp as rr

    rr.init("rerun_mp_replaced")
    rr.save(path)
    os.write(ready, b"1")
    os.read(go, 1)
    for step in range(ROWS):
        rr.set_time("step", sequence=ROWS * number + step)
        rr.log("worker", rr.Scalars(float(step)))


def main(path: str, workers: int, who: str) -> None:
    """Fork `workers` workers in each turn, and wait for them."""
    if who == "master":
        importlib.import_module("multiprocessing.process")
    for turn in range(TURNS):
        is_ready, ready = os.pipe()
        go, goes = os.pipe()
        pids = []
        for number in range(workers):
            pids.append(os.fork())
            if pids[-1] == 0:
                os.close(goes)
                if who == "workers":
                    importlib.import_module("multiprocessing.process")
                work(path, turn * workers + number, ready, go)
                sys.exit()
        for _ in pids:
            assert os.read(is_ready, 1)
        os.close(goes)
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
