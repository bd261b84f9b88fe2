"""A training that is killed, and goes on in the same recording when it is started again.

    python examples/resumed.py --out resumed.rrd

Each start does three epochs more than the last checkpoint. The first one kills itself in the middle of an epoch.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import signal
from pathlib import Path

import rerun_mp as rr

EPOCHS, BATCHES, WORKERS = 3, 100, 2


def load(epoch: int, worker: int) -> None:
    """Log what one worker loads in an epoch."""
    for batch in range(BATCHES):
        rr.set_time("batch", sequence=epoch * BATCHES + batch)
        rr.log(f"loaders/{worker}/seconds", rr.Scalars(0.1 + 0.01 * worker))


def main() -> None:
    """Train for some epochs, from the last checkpoint on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="resumed.rrd")
    out = Path(parser.parse_args().out)
    checkpoint = out.with_suffix(".checkpoint")
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0

    rr.init("rerun_example_resumed")
    rr.save(out, mode="resume")
    for epoch in range(first, first + EPOCHS):
        loaders = [multiprocessing.Process(target=load, args=(epoch, worker)) for worker in range(WORKERS)]
        for loader in loaders:
            loader.start()
        for batch in range(BATCHES):
            if epoch == 1 and batch == BATCHES // 2 and first == 0:
                print("killed in epoch 1; start the program again", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            rr.set_time("batch", sequence=epoch * BATCHES + batch)
            rr.log("loss", rr.Scalars(math.exp(-0.01 * (epoch * BATCHES + batch))))
        for loader in loaders:
            loader.join()
        checkpoint.write_text(str(epoch + 1))
    print(f"epochs {first} to {first + EPOCHS - 1} are in {out}")


if __name__ == "__main__":
    main()
