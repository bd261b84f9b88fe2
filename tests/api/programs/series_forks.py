"""A user's program: a forked child and threads call the series of their parent."""

from __future__ import annotations

import os
import sys
import threading

import rerun_mp as rr

rr.init("app")
rr.save(sys.argv[1])
number = rr.series("number")
children = []


def work() -> None:
    for step in range(5000):
        number(float(step))


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(20):
    number(-1.0)
    child = os.fork()
    if child == 0:
        for _ in range(50):
            number(0.25)
        os._exit(0)
    children.append(child)
for thread in threads:
    thread.join()
for child in children:
    assert os.waitpid(child, 0)[1] == 0
