"""`concurrent.futures.ProcessPoolExecutor`: a killed worker breaks the executor, and none of its rows is lost.

python examples/integrations/executor.py --out executor.rrd
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from ledger import Ledger, compare

import rerun_mp as rr
from rerun_mp.integrations.pools import initialize

STEPS = 2000
KILLED = 1


def task(number: int, directory: str) -> int:
    """Log a wave; task 1 kills itself halfway."""
    ledger = Ledger(directory, f"task_{number}")
    for step in range(STEPS):
        rr.set_time("step", sequence=step)
        ledger.log("wave", rr.Scalars(math.sin(step / 50 + number)))
        if number == KILLED and step == STEPS // 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return number


def main() -> None:
    """Run tasks until a worker is killed, and the rest in a new executor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("executor.rrd"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rr.init("rerun_mp_executor")
        rr.save(arguments.out)
        try:
            with ProcessPoolExecutor(2, initializer=initialize) as executor:
                list(executor.map(task, range(4), [directory] * 4))
        except BrokenProcessPool:
            print("a worker was killed, and the executor is broken; going on with another")
        with ProcessPoolExecutor(2, initializer=initialize) as executor:
            list(executor.map(task, range(4, 8), [directory] * 4))
        rr.disconnect()
        compare(directory, arguments.out)


if __name__ == "__main__":
    main()
