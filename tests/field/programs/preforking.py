"""Forks workers when those before have ended, as `gunicorn --max-requests` does without `--preload`.

Usage: preforking.py PATH WORKERS nobody|master|workers [VARIANT]. The third argument says who imports multiprocessing.
VARIANT is `clock`: the clock is set forward by an hour after each turn, so that the file looks older than the program;
`id`: the recording has an id of the program's own; `append`: the mode of the file; `again`: each worker sets the file
again; or `applications`: the workers of each second turn are another application.
"""

from __future__ import annotations

import importlib
import os
import sys

ROWS = 50
TURNS = 4


def work(path: str, number: int, variant: str, ready: int, go: int) -> None:
    """Set the file, wait until all workers of this turn have done so, and log rows."""
    import rerun_mp as rr

    other = "_other" if variant == "applications" and number % 2 else ""
    rr.init(f"rerun_mp_replaced{other}", recording_id="fixed" if variant == "id" else None)
    rr.save(path, mode="append" if variant == "append" else "new")
    if variant == "again":
        rr.disconnect()
        rr.save(path)
    os.write(ready, b"1")
    os.read(go, 1)
    for step in range(ROWS):
        rr.set_time("step", sequence=ROWS * number + step)
        rr.log("worker", rr.Scalars(float(step)))


def main(path: str, workers: int, who: str, variant: str = "") -> None:
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
                work(path, turn * workers + number, variant, ready, go)
                sys.exit()
        for _ in pids:
            assert os.read(is_ready, 1)
        os.close(goes)
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
        if variant == "clock":
            os.utime(path, ns=(0, os.stat(path).st_mtime_ns - 3600 * 10**9))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
