"""Usage: system.py FILE. Captures what a program and its worker use, until the recording has figures of both."""

from __future__ import annotations

import sys
from multiprocessing import get_context
from multiprocessing.synchronize import Event

import rerun_mp as rr
from rerun_mp.integrations.system import capture_system
from tests.harness.programs import wait_until
from tests.harness.recordings import count_rows


def work(is_over: Event) -> None:
    """Log a row, and wait for the end."""
    rr.log("worker", rr.Scalars(1.0))
    is_over.wait()


context = get_context("fork")
rr.init("rerun_mp_system")
rr.save(sys.argv[1])
capture_system(60.0)
capture_system(0.0, "used")
rr.log("program", rr.Scalars(1.0))
end = context.Event()
worker = context.Process(target=work, args=(end,), daemon=True)
worker.start()


def has_figures() -> bool:
    """Return whether the file has processor times of the worker."""
    try:
        counted = count_rows(sys.argv[1])
    except (RuntimeError, ValueError):
        return False  # the collector has written no row yet, or is writing one
    return sum(n for path, n in counted.items() if path.endswith(f"used/processes/{worker.pid}/cpu_percent")) >= 2


wait_until(has_figures, what="figures of the worker")
capture_system(None)
end.set()
worker.join()
print(worker.pid)
