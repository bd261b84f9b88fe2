"""A user's program forks while eight threads log without pause. Usage: threads_and_forks.py FILE FORKS.

Prints `thread NUMBER ROWS` for each thread, with its number of returned calls.
"""

from __future__ import annotations

import os
import sys
import threading

import rerun_mp as rr

THREADS = 8
CHILD_ROWS = 5


def main() -> None:
    """Log from threads, fork, log from children."""
    path, forks = sys.argv[1], int(sys.argv[2])
    rr.init("rerun_mp_forks")
    rr.save(path)
    stop = threading.Event()
    counts = [0] * THREADS

    def log_without_pause(number: int) -> None:
        while not stop.is_set():
            rr.set_time("step", sequence=counts[number])
            rr.log(f"thread/{number}", rr.Scalars(1.0))
            counts[number] += 1

    threads = [threading.Thread(target=log_without_pause, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for number in range(forks):
        child = os.fork()
        if child == 0:
            for step in range(CHILD_ROWS):
                rr.set_time("step", sequence=step)
                rr.log(f"child/{number}", rr.Scalars(2.0))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop.set()
    for thread in threads:
        thread.join()
    for number, count in enumerate(counts):
        print("thread", number, count)


if __name__ == "__main__":
    main()
