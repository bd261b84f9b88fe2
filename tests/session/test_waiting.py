"""A wait shows its progress on a terminal only; the first Ctrl-C is answered, the second one ends the wait."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from rerun_mp.session.waiting import Backlog, Progress
from tests.conftest import StartPython
from tests.harness.programs import wait_until
from tests.harness.recordings import count_rows, verify
from tests.harness.sessions import SessionWatch

PROGRAM = """
import os, signal, sys
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_waiting")
rr.save(sys.argv[1])
rr.log("first", rr.Scalars(0.0))
rr.flush()
os.kill(current.session().segment.ring.words[Header.WORKER_PID], signal.SIGSTOP)
for step in range(1000):
    rr.log("late", rr.Scalars(float(step)))
print("leaving", flush=True)
"""


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *arguments: str | Path, environment: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        os.close(slave)
        self.text = ""

    def read_until(self, pattern: str, timeout_secs: float = 30.0) -> re.Match[str]:
        """Read until the output matches `pattern`."""
        deadline = time.monotonic() + timeout_secs
        while (found := re.search(pattern, self.text)) is None:
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.text!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 4096).decode()
        self.text = self.text[found.end() :]
        return found

    def close(self) -> None:
        """Kill the program if it still runs, and close the terminal."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


def test_two_interrupts_leave_the_rest_to_the_collector(tmp_path: Path, place: Path) -> None:
    path, script, watch = tmp_path / "run.rrd", tmp_path / "program.py", SessionWatch()
    script.write_text(PROGRAM)
    terminal = Terminal(script, path, environment=watch.environment)
    try:
        terminal.read_until("leaving")
        shown = terminal.read_until(r"rerun_mp: waiting for the collector: ([\d,]+) rows, ([\d.]+) MB left")
        assert shown[1] == "1,000"
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until("press Ctrl-C again to leave that to the collector")
        terminal.read_until("rows, ")
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until("the collector goes on; its log is in")
        assert terminal.process.wait(30) == 0
    finally:
        for worker in watch.collectors()["worker"]:
            worker.send_signal(signal.SIGCONT)
        terminal.close()
    wait_until(lambda: not any(watch.collectors().values()), what="the session's end")
    verify(path)
    assert count_rows(path) == {"first": 1, "late": 1000}


def test_without_a_terminal_nothing_is_shown(start_python: StartPython, tmp_path: Path) -> None:
    watch = SessionWatch()
    program = start_python(PROGRAM, tmp_path / "run.rrd", env=watch.environment)
    program.wait_for_output("leaving")
    worker = watch.collector("worker")
    # Longer than a terminal would have to wait for the progress line.
    began = psutil.Process(program.pid).create_time()
    wait_until(lambda: time.time() - began > 2.5, what="some seconds of waiting")
    worker.send_signal(signal.SIGCONT)
    assert program.wait().check().stderr == ""


def test_rate_and_remaining_time_come_from_the_shrinking_backlog() -> None:
    progress = Progress("waiting")
    assert progress._describe(Backlog(3000, 5_000_000), 1.0) == "3,000 rows, 5.0 MB left"
    assert progress._describe(Backlog(2000, 4_000_000), 3.0) == "2,000 rows, 4.0 MB left, 500 rows/s, 4 s to go"
