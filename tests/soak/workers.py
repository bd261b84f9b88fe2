"""Forked workers whose program is process 1 of its pid namespace, or who become another user.

Workers and collectors are killed at random, in the end perhaps process 1 itself, which takes all others with it. The
shared memory stays, so each row of a returned call must be in the file after a recovery.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.harness.programs import ROOT, Program, wait_until
from tests.soak.counting import STOP, Counts, check_counts, rows_in
from tests.soak.forking import LAST
from tests.soak.recovering import recover

__all__ = ["may_change_users", "run_process_1", "run_users"]

LIMIT_SECS = 120.0
WORKERS = 4
PROGRAM = ROOT / "tests/soak/forking.py"
NAMESPACE = "import os, sys; os.execvp('unshare', [{}, sys.executable, *sys.argv[1:]])"
UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
SMALL = {"RERUN_MP_RING_BYTES": str(2 << 20), "RERUN_MP_SLOT_BYTES": str(64 << 10)}
"""So that workers must claim slots after the change of their user."""
Result = tuple[Counter[str], int, int, int]


def may_change_users() -> bool:
    """Return whether this user may become another one."""
    return os.geteuid() == 0


def run_process_1(own: Path, environment: dict[str, str], seed: str) -> Result:
    """Run a program that is process 1. Returns the faults, and the rows returned, lost, and there twice."""
    return _run(own, environment, seed, ["never"] * WORKERS, is_process_1=True)


def run_users(own: Path, environment: dict[str, str], seed: str) -> Result:
    """Run a program whose workers become another user. Returns the faults, and the rows returned, lost, and twice."""
    choose = random.Random(seed)
    changes = ["before", "after", *choose.choices(("before", "after", "never"), k=WORKERS - 2)]
    return _run(own, environment | SMALL, seed, changes, is_process_1=False)


def _run(own: Path, environment: dict[str, str], seed: str, changes: list[str], *, is_process_1: bool) -> Result:
    choose = random.Random(f"{seed}:faults")
    out = own / "out"
    out.mkdir()
    counts = [Counts(own / f"w{number}.counts", create=True) for number in range(WORKERS)]
    faults: Counter[str] = Counter()
    where = "under process 1" if is_process_1 else "beside changed users"
    arguments: list[str | Path] = [PROGRAM, out / "run.rrd", own, *changes]
    if is_process_1:
        code = NAMESPACE.format(", ".join(map(repr, UNSHARE)))
        program = Program(code, *arguments, directory=own, env=environment, fresh=True)
    else:
        program = Program(PROGRAM, *arguments[1:], directory=own, env=environment, fresh=True)
    is_killed = False
    try:
        wait_until(lambda: all(one.stored for one in counts), timeout_secs=LIMIT_SECS, what="rows of all workers")
        for _ in range(choose.randint(1, 3)):
            time.sleep(choose.uniform(0.0, 0.3))
            fault = choose.choice(("worker", "collector", "collector's worker", "guard"))
            faults[f"{fault} {where} killed"] += _kill(own, program, fault, choose)
        is_killed = is_process_1 and choose.random() < 0.5
        if is_killed:
            _parent(program).kill()
            faults["process 1 killed"] += 1
            program.process.wait(LIMIT_SECS)
        else:
            faults["process 1 that waited for all children"] += is_process_1
            for one in counts:
                one.words[STOP] = 1
            done = program.wait(timeout_secs=LIMIT_SECS).check()
            assert done.stdout.splitlines()[-1:] == ["no child is left"], done.describe()
    finally:
        program.end()
    for change in ("before", "after"):
        if change in changes:
            faults[f"worker that changed its user {change} its first rows"] += changes.count(change)
    recover(own, environment, LIMIT_SECS)
    found, twice = rows_in(out)
    # A call of a killed worker may have committed its row without returning.
    lost = sum(check_counts(found, f"w{number}", one.returned, one.returned + 1) for number, one in enumerate(counts))
    lost += not is_killed and not found[LAST]
    return +faults, sum(one.returned for one in counts), lost, twice


def _kill(own: Path, program: Program, fault: str, choose: random.Random) -> bool:
    """Kill a process of the program or of its collector. False: it has none just now."""
    if fault == "worker":
        found = [one for one in _parent(program).children() if str(PROGRAM) in one.cmdline()]
    else:
        words = {"collector": {"guard", "worker"}, "guard": {"guard"}, "collector's worker": {"worker"}}[fault]
        found = _collectors(own, words)
    if fault != "collector":
        found = [choose.choice(found)] if found else []
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    return bool(found)


def _parent(program: Program) -> psutil.Process:
    """Return the process that has forked the workers."""
    process = psutil.Process(program.pid)
    if process.name() == "unshare":
        (process,) = process.children()
    return process


def _collectors(own: Path, roles: set[str]) -> list[psutil.Process]:
    """Return the guards and workers of sessions whose files lie in `own`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if (
                "rerun_mp.collector" in line
                and roles & set(line)
                and str(own / "runtime") == process.environ().get("XDG_RUNTIME_DIR")
            ):
                found.append(process)
    return found
