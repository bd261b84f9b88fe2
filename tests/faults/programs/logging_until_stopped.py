"""A program logs rows and images until a file exists. Usage: logging_until_stopped.py FILE STOP.

Prints `ready` after the first row, `many` after 20,000, and the number of rows at the end.
"""

from __future__ import annotations

import os
import sys

import numpy as np

import rerun_mp as rr


def main(path: str, stop: str) -> None:
    """Log until `stop` exists."""
    rr.init("rerun_mp_limits")
    rr.save(path)
    rr.log("row", rr.Scalars(0.0))
    rr.flush()
    print("ready", flush=True)
    logged = 1
    image = np.zeros((100, 100, 3), np.uint8)
    while not os.path.exists(stop):
        for _ in range(20):
            rr.log("row", rr.Scalars(float(logged)))
            rr.log("image", rr.Image(image))
            logged += 1
        if logged == 20_001:
            print("many", flush=True)
    rr.flush()
    print(logged, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
