"""joblib with its loky workers, which do not inherit the parent's authkey: one is killed, and no row is lost.

pip install joblib
python examples/integrations/joblib_loky.py --out joblib.rrd
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import tempfile
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

sys.path.insert(0, str(Path(__file__).parents[1]))
from ledger import Ledger, compare

import rerun_mp as rr

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
    """Run four tasks, of which one is killed, and then four others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("joblib.rrd"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rr.init("rerun_mp_joblib")
        rr.save(arguments.out)
        for numbers in (range(4), range(4, 8)):
            try:
                joblib.Parallel(n_jobs=2)(joblib.delayed(task)(number, directory) for number in numbers)
            except TerminatedWorkerError:
                print("a worker was killed, and joblib says so; going on")
        rr.disconnect()
        compare(directory, arguments.out)


if __name__ == "__main__":
    main()
