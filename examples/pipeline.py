"""A pipeline of processes over real pictures: read, blur, find edges, measure. One stage is killed and replaced.

    python examples/pipeline.py --out pipeline.rrd

Each stage is a process that takes items from the one before it and logs its results, on one timeline `item`. The stage
that finds edges is killed halfway. The program starts another process in its place, which goes on with the next item.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from ledger import Ledger, compare
from skimage.color import rgb2gray
from skimage.filters import gaussian, sobel

import rerun_mp as rr

PICTURES = ("astronaut", "camera", "coins", "coffee", "chelsea", "rocket", "moon", "page", "immunohistochemistry")
ITEMS = 27
KILLED_AT = 13
END = None


def read(item: Any) -> Any:
    """Read a picture as grey values from 0 to 1."""
    picture = getattr(skimage.data, PICTURES[item % len(PICTURES)])()
    grey = rgb2gray(picture) if picture.ndim == 3 else picture / 255.0
    return grey[:300, :300]


def blur(grey: Any) -> Any:
    """Smooth a picture."""
    return gaussian(grey, 2.0)


def edges(grey: Any) -> Any:
    """Return the strength of the edges."""
    found = sobel(grey)
    return found / max(float(found.max()), 1e-9)


def measure(strength: Any) -> float:
    """Return the share of a picture's pixels that are edges."""
    return float((strength > 0.2).mean())


STAGES: dict[str, Callable[[Any], Any]] = {"read": read, "blur": blur, "edges": edges, "measure": measure}


def stage(name: str, source: Connection, sink: Connection, directory: str, killed_at: int | None) -> None:
    """Do the work of one stage until the stage before it sends `END`."""
    ledger = Ledger(directory, name)
    while (given := source.recv()) is not END:
        item, value = given
        begin = time.perf_counter()
        made = STAGES[name](value)
        rr.set_time("item", sequence=item)
        ledger.log("milliseconds", rr.Scalars(1e3 * (time.perf_counter() - begin)))
        if isinstance(made, float):
            ledger.log("part_of_edges", rr.Scalars(made))
        else:
            ledger.log("picture", rr.Image((255 * np.clip(made, 0, 1)).astype(np.uint8)))
        if item == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        sink.send((item, made))
    sink.send(END)


def main() -> None:
    """Build the pipeline, feed it, and replace the stage that is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("pipeline.rrd"))
    arguments = parser.parse_args()
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as directory:
        rr.init("rerun_mp_pipeline")
        rr.save(arguments.out)
        pipes = [context.Pipe(duplex=False) for _ in range(len(STAGES) + 1)]

        def start(number: int, killed_at: int | None = None) -> Any:
            name = list(STAGES)[number]
            ends = (pipes[number][0], pipes[number + 1][1])
            process = context.Process(target=stage, args=(name, *ends, directory, killed_at), name=name)
            process.start()
            return process

        processes = [start(number, KILLED_AT if name == "edges" else None) for number, name in enumerate(STAGES)]
        victim = processes[list(STAGES).index("edges")]
        measured = []
        for item in range(ITEMS):
            pipes[0][1].send((item, item))
            while not pipes[-1][0].poll(0.02):
                if not victim.is_alive() and victim in processes:
                    print(f"the stage `edges` was killed at item {item}; another one goes on")
                    processes[processes.index(victim)] = start(list(STAGES).index("edges"))
                    break
            else:
                measured.append(pipes[-1][0].recv()[1])
        pipes[0][1].send(END)
        for process in processes:
            process.join()
        print(f"{len(measured)} of {ITEMS} pictures were measured, {np.mean(measured):.1%} of them are edges")
        rr.disconnect()
        compare(directory, arguments.out)


if __name__ == "__main__":
    main()
