"""A user's program: threads, forked children, generators and tasks set times and log.

Usage: inherited_times.py FILE.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import rerun_mp as rr


def log(name: str) -> None:
    rr.log(name, rr.Scalars(1.0))


def thread() -> None:
    log("thread/before")
    rr.set_time("thread", sequence=2)
    log("thread/after")
    if os.fork() == 0:
        log("thread/child")
        os._exit(0)
    os.wait()


def steps() -> Iterator[None]:
    for step in range(3):
        rr.set_time("generator", sequence=step)
        yield
        log(f"generator/{step}")


async def task(number: int) -> None:
    rr.set_time("task", sequence=number)
    await asyncio.sleep(0)
    log(f"task/{number}")


async def tasks() -> None:
    await asyncio.gather(*map(task, range(3)))


rr.init("rerun_mp_times")
rr.save(sys.argv[1])
rr.set_time("main", sequence=1)
one = threading.Thread(target=thread)
one.start()
one.join()
if os.fork() == 0:
    log("child/inherits")
    rr.set_time("main", sequence=5)
    log("child/changes")
    os._exit(0)
os.wait()
log("main/keeps")
first, second = steps(), steps()
next(first)
next(first)
next(second)
log("main/generators")
rr.disable_timeline("generator")
asyncio.run(tasks())
log("main/end")
