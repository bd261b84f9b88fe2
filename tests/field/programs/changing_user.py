"""Logs as another user: changing_user.py WHEN FILE. WHEN: `after` or `before` the first row, `child`, `threads`.

All modules are loaded before, because the other user may not be able to read them.
"""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import numpy.ma
import rerun  # noqa: F401

import rerun_mp as rr
import rerun_mp.encoding.encoder

NOBODY, ROWS = 65534, 400


def become_nobody() -> None:
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def log(name: str) -> None:
    """Log rows that fill several slots: numbers, and images that take one each."""
    for step in range(ROWS):
        rr.log(name, rr.Scalars(float(step)))
        if step % 50 == 0:
            rr.log(f"{name}/image", rr.Image(np.zeros((400, 400, 3), np.uint8)))


def main(when: str, path: str) -> None:
    rr.init("rerun_mp_user")
    rr.save(path)
    if when == "child":
        if os.fork() == 0:
            become_nobody()
            log("a")
            os._exit(0)
        os.wait()
        return
    if when == "after":
        rr.log("a", rr.Scalars(-1.0))
    become_nobody()
    names = ["a", "b", "c"] if when == "threads" else ["a"]
    threads = [threading.Thread(target=log, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
