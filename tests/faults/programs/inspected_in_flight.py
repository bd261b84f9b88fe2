"""Usage: inspected_in_flight.py DIRECTORY ROWS. Prints the rows that a recovery finds, and those of the accounts.

The collector is killed when a sweep is in its spool and not done yet, and the program after that.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rerun_mp.monitoring.recovery import inspect
from rerun_mp.session.leftovers import find_leftovers
from tests.faults.programs.account_histories import History


def main() -> None:
    """Log, kill, and look."""
    history = History(Path(sys.argv[1]), 0, fills_disks=False)
    history.order(do="log", start=0, count=int(sys.argv[2]), kind="number")
    history.start_worker("sweep flushed")
    assert history.worker is not None
    os.waitpid(history.worker, 0)
    history.worker = None
    os.killpg(history.founder, signal.SIGKILL)
    os.waitpid(history.founder, 0)
    view = history.view()
    (left,) = [one for one in find_leftovers()[0] if one.segment_path == history.path]
    print(inspect(left).rows.total(), view.logged)
    history.abandon()


if __name__ == "__main__":
    main()
