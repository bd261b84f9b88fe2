"""P5: a collector that is killed, stopped, out of memory or started twice resumes once, and costs no row."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from rerun_mp.collector.starting import ALREADY_RUNNING
from rerun_mp.shm.layout import Header
from tests.conftest import StartPython
from tests.harness.programs import ROOT, Program, wait_until
from tests.harness.recordings import chunks_of, verify
from tests.harness.servers import Server
from tests.harness.sessions import SessionWatch, is_running
from tests.harness.viewers import free_port

pytestmark = pytest.mark.real_collectors

PROGRAM = Path(__file__).with_name("programs") / "pressing.py"


@dataclass(slots=True)
class Pressed:
    """A program that keeps the ring full, and the restart times of its collector."""

    program: Program
    path: Path
    stop: Path
    watch: SessionWatch
    restarts: list[float] = field(default_factory=list)
    """Seconds from each kill until the next sweep is done."""

    def kill(self, *roles: str) -> None:
        """Kill these roles, and wait until rows are delivered again."""
        before = time.monotonic()
        self.watch.kill(*roles)
        self.watch.wait_for_sweeps(1)
        self.restarts.append(time.monotonic() - before)

    def end(self) -> Counter[str]:
        """Let the program end, and check that its file has every row once. Returns the number of rows by entity."""
        self.stop.touch()
        done = json.loads(self.program.wait(timeout_secs=120.0).check().stdout)
        print(
            f"longest log(): {done['longest_secs']:.3f} s; {len(self.restarts)} restarts, "
            f"longest {max(self.restarts, default=0.0):.3f} s; {sum(done['rows'].values())} rows"
        )
        check_rows(self.path, done["rows"])
        # No part is left beside the file, not even a hidden one.
        assert [path for path in self.path.parent.iterdir() if ".rrd" in path.name] == [self.path]
        return Counter(done["rows"])


def check_rows(path: Path, expected: dict[str, int]) -> None:
    """Check that a file is complete, and that each entity has its rows, numbered from 0, once each."""
    verify(path)
    numbers: dict[str, list[int]] = {}
    row_ids: set[bytes] = set()
    for chunk in chunks_of(path):
        numbers.setdefault(chunk.entity_path, []).extend(n for n in chunk.times["row"] if n is not None)
        row_ids.update(chunk.row_ids)
    assert {name: len(found) for name, found in numbers.items()} == expected
    assert all(np.array_equal(np.sort(found), np.arange(len(found))) for found in numbers.values())
    assert len(row_ids) == sum(expected.values()), "a row id occurs twice"


@pytest.fixture
def press(start_python: StartPython, tmp_path: Path) -> Callable[..., Pressed]:
    """Start the program, as `press(*urls)`, and wait until rows are delivered."""

    def start(*urls: str) -> Pressed:
        watch, path, stop = SessionWatch(), tmp_path / "files" / "out.rrd", tmp_path / "stop"
        path.parent.mkdir()
        program = start_python(PROGRAM, stop, path, *urls, env=watch.environment)
        watch.wait_for_sweeps(3)
        return Pressed(program, path, stop, watch)

    return start


Press = Callable[..., Pressed]
ROLES = [("worker",), ("guard",), ("guard", "worker")]


def test_kills_under_load_cost_no_row_and_repeat_none(press: Press) -> None:
    """Worker, guard and both in turn, with a full ring. The file is at its path all the time."""
    pressed = press()
    for roles in ROLES:
        pressed.kill(*roles)
        assert pressed.path.exists()
    pressed.end()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_kills_under_load_cost_no_row_and_repeat_none(press: Press) -> None:
    """At random moments of a sweep."""
    pressed, choose = press(), random.Random(1)
    for _ in range(100):
        time.sleep(choose.uniform(0.0, 0.1))  # no synchronisation: the kill comes at a random moment
        pressed.kill(*choose.choice(ROLES))
    pressed.end()


# ---- stopped, started twice ----------------------------------------------------------------------------------------


def test_a_stopped_collector_is_not_replaced_and_goes_on(press: Press) -> None:
    """It holds its lease, so no other collector takes over; the producers wait for it with a full ring.

    A second collector, started before or during the stop, ends and changes nothing.
    """
    pressed = press()
    assert start_by_hand(pressed.watch, "guard") == 0
    assert start_by_hand(pressed.watch, "worker") == ALREADY_RUNNING
    guard, worker = pressed.watch.stop("guard", "worker")
    wait_until(lambda: pressed.watch.free_slots() == 0, what="a full ring")
    sweeps = pressed.watch.sweeps_done()
    assert start_by_hand(pressed.watch, "guard") == 0
    guard.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(guard), what="the guard's end")
    assert start_by_hand(pressed.watch, "worker") == ALREADY_RUNNING
    assert pressed.watch.sweeps_done() == sweeps
    worker.send_signal(signal.SIGCONT)
    pressed.watch.wait_for_sweeps(3)
    assert pressed.watch.collector("worker") == worker
    assert pressed.watch.collector("guard") != guard
    assert pressed.watch.header(Header.WORKER_LIVES) == 1
    pressed.end()


@pytest.mark.soak
def test_only_one_of_many_workers_started_at_once_stays(press: Press) -> None:
    """The worker before has been killed, so its lease is free."""
    pressed = press()
    pressed.watch.kill("guard", "worker")
    command, environment = command_by_hand(pressed.watch, "worker")
    racers = [subprocess.Popen(command, env=environment) for _ in range(5)]
    try:
        wait_until(lambda: sum(racer.poll() is None for racer in racers) <= 1, what="one that stays")
        assert {racer.returncode for racer in racers} <= {None, ALREADY_RUNNING}
        pressed.watch.wait_for_sweeps(3)
        wait_until(lambda: len(pressed.watch.collectors()["worker"]) == 1, what="one worker")
        pressed.end()
        assert {racer.wait(30) for racer in racers} <= {0, ALREADY_RUNNING}
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()


def start_by_hand(watch: SessionWatch, role: str) -> int:
    """Start a collector's process as rerun_mp does, and return its exit status."""
    command, environment = command_by_hand(watch, role)
    return subprocess.run(command, env=environment, timeout=30, check=False).returncode


def command_by_hand(watch: SessionWatch, role: str) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of a collector's process."""
    command = [sys.executable, "-P", "-m", "rerun_mp.collector", role, str(watch.segment), watch.nonce.hex()]
    return command, {**os.environ, "PYTHONPATH": str(ROOT)}


# ---- out of memory -------------------------------------------------------------------------------------------------

LARGE = """
import sys
import numpy as np
import rerun_mp as rr
rr.init("rerun_mp_large")
rr.save(sys.argv[1])
rr.set_time("row", sequence=0)
rr.log("small", rr.Scalars(0.0))
rr.flush()
print("stored", flush=True)
open(sys.argv[2]).read()
rr.set_time("row", sequence=0)
rr.log("large", rr.Tensor(np.zeros((100, 1000, 1000), np.uint8)))
for step in range(1, 1000):
    rr.set_time("row", sequence=step)
    rr.log("small", rr.Scalars(0.0))
"""


def test_a_worker_that_runs_out_of_memory_is_replaced(start_python: StartPython, tmp_path: Path) -> None:
    """It has no memory for a row of 100 MB. The next worker has enough."""
    watch, path, go_on = SessionWatch(), tmp_path / "out.rrd", tmp_path / "go_on"
    os.mkfifo(go_on)
    program = start_python(LARGE, path, go_on, env=watch.environment)
    program.wait_for_output("stored")
    worker = watch.collector("worker")
    limit_memory(worker.pid, worker.memory_info().vms + (16 << 20))
    go_on.write_bytes(b"x")
    program.wait().check()
    assert not is_running(worker)
    check_rows(path, {"small": 1000, "large": 1})


@pytest.mark.soak
def test_workers_without_memory_to_start_are_started_until_one_lives(press: Press, place: Path) -> None:
    """None completes its imports. The guard starts others, with growing pauses, until one lives."""
    pressed = press()
    guard = pressed.watch.collector("guard")
    limit_memory(guard.pid, 256 << 20)
    pressed.watch.kill("worker")
    (log,) = (place / "runtime" / "rerun_mp").glob("*/collector.log")
    wait_until(lambda: log.read_text().count("the worker ended with status") >= 4, what="4 deaths")
    limit_memory(guard.pid, resource.RLIM_INFINITY)
    pressed.watch.wait_for_sweeps(3)
    assert pressed.watch.collector("guard") == guard
    pressed.end()


def limit_memory(pid: int, num_bytes: int) -> None:
    """Limit the address space of a process, and of the processes that it starts from now on."""
    resource.prlimit(pid, resource.RLIMIT_AS, (num_bytes, resource.RLIM_INFINITY))


# ---- with a viewer -------------------------------------------------------------------------------------------------


def kill_viewer_and_collector(press: Press, directory: Path, kills: int) -> None:
    """Kill a server and the collector at random. The last server and the file must have every row."""
    port, choose = free_port(), random.Random(2)
    url = f"rerun+http://127.0.0.1:{port}/proxy"
    server = Server(directory / "served-0.rrd", port)
    try:
        pressed = press(url)
        for n in range(1, kills + 1):
            if choose.random() < 0.5:
                server.end()
                server = Server(directory / f"served-{n}.rrd", port)
            else:
                pressed.kill(*choose.choice(ROLES))
            (directory / f"served-{n - 1}.rrd").unlink(missing_ok=True)
        server.wait_until_listening()  # the end of a session does not wait for an absent viewer
        rows = pressed.end()
        wait_until(lambda: server.rows() == rows, timeout_secs=90.0, what="every row in the server")
    finally:
        server.end()


def test_a_viewer_and_the_collector_killed_in_turn_cost_no_row(press: Press, tmp_path: Path) -> None:
    """Each gets what it missed after its restart: the viewer from the store, the collector from the ring."""
    kill_viewer_and_collector(press, tmp_path, 6)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_hundred_kills_of_viewer_and_collector_cost_no_row(press: Press, tmp_path: Path) -> None:
    """At random moments, with a full ring."""
    kill_viewer_and_collector(press, tmp_path, 100)
