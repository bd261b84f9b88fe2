"""`multiprocessing.Pool`: a worker is killed in the middle of its task, and no row is lost.

python examples/integrations/process_pool.py --out pool.rrd
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from ledger import Ledger, compare

import rerun_mp as rr
from rerun_mp.integrations.pools import initialize

STEPS = 2000
TASKS = 8
KILLED = 3


def task(number: int, directory: str) -> int:
    """Log a decaying wave; task 3 kills itself halfway."""
    ledger = Ledger(directory, f"task_{number}")
    for step in range(STEPS):
        rr.set_time("step", sequence=step)
        ledger.log("wave", rr.Scalars(math.exp(-step / 500) * math.cos(step / 20 + number)))
        if number == KILLED and step == STEPS // 2:
            Path(f"{directory}.killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return number


def main() -> None:
    """Run the tasks in a pool, and do not wait for the killed one: the pool would wait for ever."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("pool.rrd"))
    parser.add_argument("--start-method", default="fork", choices=multiprocessing.get_all_start_methods())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rr.init("rerun_mp_process_pool")
        rr.save(arguments.out)
        context = multiprocessing.get_context(arguments.start_method)
        with context.Pool(4, initializer=initialize) as pool:
            results = [pool.apply_async(task, (number, directory)) for number in range(TASKS)]
            for number, result in enumerate(results):
                if number != KILLED:
                    result.get(60)
            # The killed task has no result. Leaving the `with` would terminate its worker before it kills itself.
            killed = Path(f"{directory}.killed")
            while not killed.exists():
                time.sleep(0.01)
            killed.unlink()
        rr.disconnect()
        compare(directory, arguments.out)


if __name__ == "__main__":
    main()
