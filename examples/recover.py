"""A program is killed together with its collector, and `rerun-mp recover` brings its rows into its file.

    python examples/recover.py --out recovered.rrd

A child program logs. Then all its processes are killed at once, as a container's end does. Its rows are still in shared
memory. `rerun-mp recover` brings them into the file; the next program that calls `init` would do so, too.
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

import psutil
from ledger import Ledger, compare

import rerun_mp as rr
from rerun_mp.monitoring.overview import look

ROWS = 5000


def log(out: Path, directory: str) -> None:
    """Log all rows, print "logged", and wait to be killed."""
    rr.init("rerun_mp_recover")
    rr.save(out)
    ledger = Ledger(directory, "program")
    for step in range(ROWS):
        rr.set_time("step", sequence=step)
        ledger.log("number", rr.Scalars(float(step)))
    print("logged", flush=True)
    signal.pause()


def kill(program: subprocess.Popen[str]) -> None:
    """Wait until guard and worker live, and kill program and collector at once, before any process can react."""
    while True:
        views, _ = look()
        view = next(view for view in views if program.pid in view.participants)
        if view.collector.is_guard_live and view.collector.is_worker_live:
            break
        time.sleep(0.05)
    victims = (program.pid, view.collector.guard_pid, view.collector.worker_pid)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in victims:
            os.kill(pid, number)
    program.wait()
    while any(is_running(pid) for pid in victims):
        time.sleep(0.01)
    print(f"killed the program ({victims[0]}) and its collector ({victims[1]}, {victims[2]})")


def is_running(pid: int) -> bool:
    """Return whether a process has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    """Start a program, kill it with its collector, and recover its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("recovered.rrd"))
    parser.add_argument("--log", metavar="DIRECTORY", help="run as the program that is killed")
    arguments = parser.parse_args()
    if arguments.log:
        log(arguments.out, arguments.log)
        return
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, __file__, "--out", str(arguments.out), "--log", directory]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RERUN_MP_S")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
            assert program.stdout is not None
            program.stdout.readline()
            kill(program)
        print("$ rerun-mp recover", flush=True)
        subprocess.run([sys.executable, "-m", "rerun_mp", "recover"], check=True)
        compare(directory, arguments.out)


if __name__ == "__main__":
    main()
