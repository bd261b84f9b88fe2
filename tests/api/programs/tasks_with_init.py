"""A user's program after rerun's documentation: every process calls `init` and connects to the viewer.

Usage: tasks_with_init.py METHOD URL. Each process prints its recording id; the parent prints it again at the end.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading

import rerun_mp as rr


def task(index: int, url: str) -> None:
    rr.init("rerun_example_multiprocess")
    rr.connect_grpc(url)
    title = f"task_{index}"
    rr.log("log", rr.TextLog(f"pid {os.getpid()}, thread {threading.get_ident()}: {rr.get_recording_id()}"))
    print(rr.get_recording_id(), flush=True)
    for number in range(index + 1):
        rr.log(title, rr.Boxes2D(array=[5 * number, 5, 80, 80], array_format=rr.Box2DFormat.XYWH, labels=title))


def main(method: str, url: str) -> None:
    multiprocessing.set_start_method(method)
    rr.init("rerun_example_multiprocess")
    rr.connect_grpc(url)
    rr.log("log", rr.TextLog(f"pid {os.getpid()}, thread {threading.get_ident()}: {rr.get_recording_id()}"))
    task(0, url)
    processes = [multiprocessing.Process(target=task, args=(index, url)) for index in (1, 2, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(rr.get_recording_id())


if __name__ == "__main__":
    main(*sys.argv[1:])
