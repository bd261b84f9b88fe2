"""A launcher like torchrun: it starts this script once for each rank, and each finds the session in its environment.

    python examples/integrations/launcher.py --out ranks.rrd

One rank is killed halfway. The launcher builds the environment of its children itself.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from ledger import Ledger, compare

import rerun_mp as rr
from rerun_mp.integrations.launchers import environment
from rerun_mp.integrations.workers import identify

STEPS = 2000
RANKS = 4
KILLED = 2


def train(directory: str) -> None:
    """Log the losses of one rank."""
    worker = identify()
    ledger = Ledger(directory, f"rank_{worker.rank}")
    for step in range(STEPS):
        rr.set_time("step", sequence=step)
        ledger.log("train/loss", rr.Scalars(1.0 / (1 + step) + worker.rank))
        if worker.rank == KILLED and step == STEPS // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.0002)


def main() -> None:
    """Start the ranks and wait for them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("ranks.rrd"))
    parser.add_argument("--train", metavar="DIRECTORY", help="run as a rank")
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.train)
        return
    with tempfile.TemporaryDirectory() as directory:
        rr.init("rerun_mp_ranks")
        rr.save(arguments.out)
        command = [sys.executable, __file__, "--train", directory]
        ranks = [
            subprocess.Popen(command, env={"PATH": os.defpath, "RANK": str(rank), **environment()})
            for rank in range(RANKS)
        ]
        for rank, process in enumerate(ranks):
            print(f"rank {rank} ended with {process.wait()}")
        rr.disconnect()
        compare(directory, arguments.out)


if __name__ == "__main__":
    main()
