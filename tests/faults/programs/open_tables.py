"""Four processes keep 30 tables open each: open_tables.py FILE FIFO. Ends when FIFO is written to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rerun_mp as rr

PROCESSES, TABLES = 4, 30


def open_tables(number: int) -> None:
    """Log by a timeline of its own for each table. Each table keeps a slot open."""
    for timeline in range(TABLES):
        rr.reset_time()
        rr.set_time(f"time_{timeline}", sequence=number)
        rr.log("scalar", rr.Scalars(1.0))


def main(path: str, fifo: str) -> None:
    rr.init("rerun_mp_open")
    rr.save(path)
    ready, is_ready = os.pipe()
    hold, release = os.pipe()
    for number in range(PROCESSES):
        if os.fork() == 0:
            os.close(release)
            open_tables(number)
            os.write(is_ready, b"x")
            os.read(hold, 1)
            os._exit(0)
    here = 0
    while here < PROCESSES:
        here += len(os.read(ready, PROCESSES))
    print("tables are open", flush=True)
    Path(fifo).read_bytes()
    os.close(release)
    for _ in range(PROCESSES):
        os.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
