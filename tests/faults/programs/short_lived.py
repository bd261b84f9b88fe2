"""Forked workers come and go, each with one row of its own entity, and the program prints what the session holds.

Usage: short_lived.py FILE NUMBER...: after so many workers in all, a line of JSON says what the collector has in memory
and what lies in the session's directories, in bytes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

AT_ONCE = 4


def log(number: int) -> int:
    """Log a row in a forked child, and return its process id."""
    pid = os.fork()
    if pid == 0:
        rr.log(f"worker/{number}", rr.Scalars(float(number)))
        rr.flush()
        os._exit(0)
    return pid


def figures() -> dict[str, int]:
    """Return what the session holds now."""
    joined = current.session()
    assert joined is not None
    rr.flush()
    worker = psutil.Process(joined.segment.ring.words[Header.WORKER_PID])
    places = (Path(joined.segment.runtime_directory), Path(joined.segment.spool_directory))
    sizes = {f"{place.name} {file.name}": file.stat().st_size for place in places for file in place.rglob("*.js*")}
    return {"memory": worker.memory_info().rss, "files": sum(sizes.values())}


def main() -> None:
    """Run the workers, a few at a time."""
    rr.init("short_lived")
    rr.save(sys.argv[1], rotate=rr.Rotation(bytes=1 << 20, keep_parts=2))
    rr.log("main", rr.Scalars(0.0))
    done = 0
    for number in map(int, sys.argv[2:]):
        while done < number:
            pids = [log(done + one) for one in range(AT_ONCE)]
            for pid in pids:
                assert os.waitpid(pid, 0)[1] == 0
            done += AT_ONCE
        print(json.dumps(figures()), flush=True)


if __name__ == "__main__":
    main()
