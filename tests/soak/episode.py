"""One episode: a program in a session of its own, and faults from outside.

At its end these must hold:

- the rows of every returned call are in the file, once, and at most one more call of each killed worker;
- `rerun rrd verify` accepts the file, and the session's accounts agree with it;
- neither shared memory nor a process nor a file of the session is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import tempfile
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.harness.leftovers import Machine
from tests.harness.programs import Program, wait_until
from tests.harness.recordings import chunks_of, verify
from tests.harness.servers import Server
from tests.harness.sessions import SessionWatch
from tests.harness.viewers import free_port
from tests.soak.storm import COLUMNS, KINDS, STOP, Settings, kind_of, open_journal

__all__ = ["Episode", "Totals", "check_rows", "run"]

KIB = 1024
LIMIT_SECS = 150.0
END_SECS = 30.0
KILLS = {"fork": 150, "forkserver": 60, "spawn": 20}
"""Workers that an episode kills, by start method. Slow starts get fewer."""
PROGRAM = "from tests.soak import storm\n\nif __name__ == '__main__':\n    storm.main()\n"
DIRECTORIES = {"runtime": "XDG_RUNTIME_DIR", "cache": "XDG_CACHE_HOME", "data": "XDG_DATA_HOME", "tmp": "TMPDIR"}


@dataclass(slots=True)
class Totals:
    """The processes killed in all episodes, and the fate of the rows."""

    episodes: int = 0
    workers: Counter[str] = field(default_factory=Counter)
    """Killed workers, by start method."""
    others: Counter[str] = field(default_factory=Counter)
    """Other faults, by kind: kills of worker, guard, both, parent or server, and stops of the collector."""
    returned: int = 0
    """Rows of returned calls."""
    unreturned: int = 0
    """Rows in the file that were committed by interrupted calls."""
    lost: int = 0
    twice: int = 0
    hangs: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether no row was lost or doubled, and nothing hung."""
        return not (self.lost or self.twice or self.hangs)

    def __str__(self) -> str:
        workers = ", ".join(f"{number:,} {method}" for method, number in sorted(self.workers.items()))
        others = ", ".join(f"{number:,} {what}" for what, number in sorted(self.others.items())) or "nothing"
        killed = f"{self.episodes} episodes, {self.workers.total():,} workers killed ({workers}), and: {others}"
        rows = f"{self.returned:,} rows returned, {self.lost} lost, {self.twice} twice"
        return f"{killed}; {rows}, {self.unreturned} of interrupted calls, {self.hangs} hangs"


@dataclass(frozen=True, slots=True)
class Episode:
    """The random choices of one episode."""

    name: str
    method: str
    kills: int
    workers: int
    delay_secs: float
    ring_bytes: int
    slot_bytes: int
    faults: tuple[str, ...]
    """Faults of the collector, in turn: "worker", "guard" and "guard+worker" kill, "stop" stops both for a while."""
    fault_every_secs: float
    server: str | None
    """Fate of a gRPC server that gets the rows too: "killed", "frozen" or "well". None: no server."""
    kills_parent: bool
    """Whether the parent is killed after the last kill of a worker."""

    @classmethod
    def draw(cls, seed: int, number: int, *, method: str | None = None, kills: int | None = None) -> Episode:
        """Draw episode `number` of a run."""
        choose = random.Random(f"{seed}:{number}")
        drawn = choose.choices(("fork", "forkserver", "spawn"), (5, 5, 4))[0]
        method = method or drawn
        slot_bytes = choose.choice((16, 64, 256)) * KIB
        faults = choose.choices(
            ("worker", "guard", "guard+worker", "stop"), (6, 2, 4, 1), k=choose.choice((0, 0, 3, 8))
        )
        return cls(
            name=f"{seed}:{number}",
            method=method,
            kills=kills or KILLS[method],
            workers=choose.randint(2, 10),
            delay_secs=choose.choice((0.001, 0.005, 0.02)),
            ring_bytes=max(2048 * KIB, choose.choice((24, 64, 256)) * slot_bytes),
            slot_bytes=slot_bytes,
            faults=tuple(faults),
            fault_every_secs=choose.uniform(0.05, 0.5),
            server=choose.choice((None, None, None, "killed", "frozen", "well")),
            kills_parent=choose.random() < 0.2,
        )


def run(episode: Episode, totals: Totals) -> None:
    """Run an episode and add its figures to the totals.

    Raises
    ------
    AssertionError
        If a check fails, with the program's output.
    """
    own = Path(tempfile.mkdtemp(prefix="rmp-soak-", dir="/tmp"))
    server = None
    try:
        for name in DIRECTORIES:
            (own / name).mkdir(mode=0o700)
        machine = Machine.snapshot(own)
        if episode.server is not None:
            server = Server(own / "served.rrd", free_port())
        _run(episode, totals, own, server)
        if server is not None:
            server.end()
        wait_until(lambda: not machine.leftovers(), timeout_secs=END_SECS, what="the end of everything")
    finally:
        if server is not None:
            server.end()
        shutil.rmtree(own, ignore_errors=True)


def _run(episode: Episode, totals: Totals, own: Path, server: Server | None) -> None:
    watch = SessionWatch()
    max_workers = episode.kills + episode.workers
    journal = open_journal(own / "journal", max_workers)
    settings = Settings(
        seed=random.Random(episode.name).randrange(1 << 30),
        path=str(own / "out.rrd"),
        journal=str(own / "journal"),
        method=episode.method,
        workers=episode.workers,
        kills=episode.kills,
        delay_secs=episode.delay_secs,
        url=server.url if server is not None else None,
    )
    environment = {
        **{variable: str(own / name) for name, variable in DIRECTORIES.items()},
        **watch.environment,
        "RERUN_MP_RING_BYTES": str(episode.ring_bytes),
        "RERUN_MP_SLOT_BYTES": str(episode.slot_bytes),
    }
    program = Program(PROGRAM, json.dumps(asdict(settings)), directory=own, env=environment)
    stop = threading.Event()
    failures: list[Exception] = []
    harmer = threading.Thread(target=_harm, args=(episode, totals, watch, server, stop, failures))
    harmer.start()
    try:
        program.wait_for_output("]", timeout_secs=LIMIT_SECS)
        if episode.kills_parent:
            os.kill(program.pid, signal.SIGKILL)
            totals.others["parent"] += 1
            journal[STOP] = 1
            # Wait until the workers have ended by themselves: `program.end` below kills the group.
            wait_until(lambda: not any(watch.collectors().values()), timeout_secs=LIMIT_SECS, what="the session's end")
        else:
            program.wait(timeout_secs=LIMIT_SECS).check()
    except TimeoutError as error:
        totals.hangs += 1
        raise AssertionError(f"the program hangs: {error}") from error
    finally:
        stop.set()
        harmer.join()
        program.end()
    assert not failures, failures
    killed, *accounts = map(json.loads, program.stdout.splitlines())
    totals.workers[episode.method] += len(killed)
    try:
        wait_until(lambda: not any(watch.collectors().values()), timeout_secs=END_SECS, what="the collector's end")
    except TimeoutError as error:
        totals.hangs += 1
        raise AssertionError(str(error)) from error
    check_rows(own / "out.rrd", [journal[1 + worker] for worker in range(max_workers)], killed, accounts, totals)
    totals.episodes += 1


def _harm(
    episode: Episode,
    totals: Totals,
    watch: SessionWatch,
    server: Server | None,
    stop: threading.Event,
    failures: list[Exception],
) -> None:
    """Let the episode's faults happen to collector and server, until the program has ended."""
    choose = random.Random(f"{episode.name}:harm")
    try:
        if server is not None and episode.server != "well" and not stop.wait(choose.uniform(0.0, 1.0)):
            if episode.server == "killed":
                server.process.kill()
            else:
                server.freeze()
            totals.others[f"server {episode.server}"] += 1
        for fault in episode.faults:
            if stop.wait(episode.fault_every_secs * choose.uniform(0.5, 1.5)):
                return
            if not _harm_collector(watch, fault, choose, stop):
                return
            totals.others[fault] += 1
    except (OSError, psutil.Error, RuntimeError) as error:
        failures.append(error)


def _harm_collector(watch: SessionWatch, fault: str, choose: random.Random, stop: threading.Event) -> bool:
    """Let a fault happen once its processes run. False: the program ended before."""
    roles = ["guard", "worker"] if fault == "stop" else fault.split("+")
    while any(len(watch.collectors()[role]) != 1 for role in roles):
        if stop.wait(0.01):
            return False
    victims = [watch.collectors()[role] for role in roles]
    if not all(victims):
        return True
    chosen = [processes[0] for processes in victims]
    _signal(chosen, signal.SIGSTOP)
    if fault == "stop":
        stop.wait(choose.uniform(0.0, 0.3))
    _signal(chosen, signal.SIGCONT if fault == "stop" else signal.SIGKILL)
    return True


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each process that has not ended: the session may be ending by itself."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def check_rows(path: Path, returned: list[int], killed: list[int], accounts: list[list[int]], totals: Totals) -> None:
    """Check a recording, and add its found, lost and doubled rows to the totals.

    Parameters
    ----------
    path
        The file.
    returned
        Number of returned calls, by worker.
    killed
        Killed workers. The file may have one more call of each.
    accounts
        The session's accounts: rows logged, delivered and dropped. Empty if the parent was killed.
    totals
        Added to.

    Raises
    ------
    AssertionError
        If a check fails.
    """
    verify(path)
    calls: dict[tuple[int, str], list[Any]] = {}
    row_ids: list[bytes] = []
    for chunk in chunks_of(path):
        if chunk.entity_path.startswith("__rerun_mp"):
            continue
        owner, _, name = chunk.entity_path.partition("/")
        key = (int(owner[1:]), name)
        calls.setdefault(key, []).append(np.array(chunk.times["call"], np.int64))
        row_ids += chunk.row_ids
    doubles = len(row_ids) - len(set(row_ids))
    lost = twice = unreturned = rows = 0
    for worker, number in enumerate(returned):
        names = np.array(KINDS)[kind_of(worker, np.arange(number + 1))]
        per_call = np.zeros(number + 1, np.int64)
        for name in dict.fromkeys(KINDS):
            found = np.concatenate(calls.pop((worker, name), [np.zeros(0, np.int64)]))
            assert found.size == 0 or found.max() <= number, f"worker {worker} has rows of calls that it never made"
            here = np.bincount(found, minlength=number + 1)
            assert not here[names != name].any(), f"worker {worker} has {name} rows of calls of another kind"
            per_call += here
        expected = np.where(names == "columns", COLUMNS, 1)
        lost += int(np.maximum(expected - per_call, 0)[:number].sum())
        twice += int(np.maximum(per_call - expected, 0).sum())
        rows += int(expected[:number].sum())
        if per_call[number]:
            assert worker in killed, f"worker {worker} was not killed and has rows of a call that did not return"
            assert per_call[number] == expected[number], f"the file has a part of a call of worker {worker}"
            unreturned += int(per_call[number])
    assert not calls, f"rows of unknown workers: {list(calls)}"
    totals.returned += rows
    totals.unreturned += unreturned
    totals.lost += lost
    totals.twice += max(twice, doubles)  # a doubled row id is a doubled row
    assert (lost, twice, doubles) == (0, 0, 0), f"{lost} rows lost, {max(twice, doubles)} twice"
    for logged, delivered, dropped in accounts:
        assert (logged, delivered, dropped) == (rows + unreturned, rows + unreturned, 0), (
            logged,
            delivered,
            dropped,
            rows,
        )
