"""A script that is killed with its collector and started again over the same path, several times.

The recovery of the run before, which each run starts, may be killed too. In the end a recovery and a whole run leave
each row of each run in some file.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from pathlib import Path

from tests.harness.programs import ROOT, Program, wait_until
from tests.harness.sessions import SessionWatch
from tests.soak.counting import STOP, Counts, check_counts, rows_in
from tests.soak.recovering import recover

__all__ = ["run_restarts"]

LIMIT_SECS = 120.0
RUNS = 4


def run_restarts(own: Path, environment: dict[str, str], seed: str) -> tuple[Counter[str], int, int, int]:
    """Restart a script in `own`. Returns the faults, and the rows that were returned, are lost, and occur twice.

    Raises
    ------
    AssertionError
        If a program failed, or has too many rows.
    """
    choose = random.Random(seed)
    out = own / "out"
    out.mkdir()
    faults: Counter[str] = Counter()
    counts: list[Counts] = []
    former: SessionWatch | None = None
    for number in range(RUNS):
        watch, name = SessionWatch(), f"run{number}"
        counts.append(Counts(own / f"{name}.counts", create=True))
        directory = own / name
        directory.mkdir()
        program = Program(
            ROOT / "tests/soak/counting.py",
            out / "run.rrd",
            name,
            own / f"{name}.counts",
            directory=directory,
            env={**environment, **watch.environment},
            fresh=True,
        )
        try:
            if former is not None and choose.random() < 0.5:
                deadline = time.monotonic() + choose.uniform(0.2, 1.5)
                while time.monotonic() < deadline and not any(former.collectors().values()):
                    time.sleep(0.005)
                with contextlib.suppress(FileNotFoundError):
                    if any(former.collectors().values()):
                        former.kill_running()
                        faults["recovery killed"] += 1
            wait_until(lambda: counts[-1].stored, timeout_secs=LIMIT_SECS, what=f"rows of {name}")
            if number < RUNS - 1:
                time.sleep(choose.uniform(0.0, 0.3))
                watch.kill_everything(program)
                faults["script restarted over its path"] += 1
                former = watch
            else:
                counts[-1].words[STOP] = 1
                program.wait(timeout_secs=LIMIT_SECS).check()
        finally:
            program.end()
    recover(own, environment, LIMIT_SECS)
    found, twice = rows_in(out)
    lost = sum(check_counts(found, f"run{number}", one.returned, one.returned + 1) for number, one in enumerate(counts))
    return faults, sum(one.returned for one in counts), lost, twice
