"""Episodes of other kinds: mixed files and sinks, shared homes, restarts over a path, lost receivers, process 1, users.

Of eight episodes of a soak, two are mixed, one is of each other kind, and one is ordinary.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tests.harness.containers import may_contain
from tests.harness.leftovers import Machine
from tests.harness.programs import wait_until
from tests.soak.episode import DIRECTORIES, END_SECS, Totals
from tests.soak.homes import run_pair
from tests.soak.mixed_harm import run_mixed
from tests.soak.receivers import run_receivers
from tests.soak.restarts import run_restarts
from tests.soak.workers import may_change_users, run_process_1, run_users

__all__ = ["Kind", "kind_of_files", "run_files"]

Kind = Literal["homes", "restarts", "receivers", "process 1", "users", "mixed"]
EPISODES: dict[Kind, Callable[..., tuple[Counter[str], int, int, int]]] = {
    "homes": run_pair,
    "restarts": run_restarts,
    "receivers": run_receivers,
    "process 1": run_process_1,
    "users": run_users,
    "mixed": run_mixed,
}
ORDER: tuple[Kind | None, ...] = (None, "mixed", "receivers", "homes", "mixed", "restarts", "process 1", "users")


def kind_of_files(number: int) -> Kind | None:
    """Return the kind of episode `number` of a soak; None if it is an ordinary one."""
    kind = ORDER[number % len(ORDER)]
    if kind in ("homes", "process 1"):
        return kind if may_contain() else None
    return kind if kind != "users" or may_change_users() else None


def run_files(kind: Kind, name: str, totals: Totals, **options: int) -> None:
    """Run an episode, with the options of its function, and add its figures to the totals.

    Raises
    ------
    AssertionError, TimeoutError
        If a check fails.
    """
    own = Path(tempfile.mkdtemp(prefix="rmp-soak-", dir="/tmp"))
    try:
        for directory in DIRECTORIES:
            (own / directory).mkdir(mode=0o700)
        environment = {variable: str(own / directory) for directory, variable in DIRECTORIES.items()}
        machine = Machine.snapshot(own)
        faults, returned, lost, twice = EPISODES[kind](own, environment, name, **options)
        totals.others += faults
        totals.episodes += 1
        totals.returned += returned
        totals.lost += lost
        totals.twice += twice
        assert (lost, twice) == (0, 0), f"{lost} rows lost, {twice} twice"
        wait_until(lambda: not machine.leftovers(), timeout_secs=END_SECS, what="the end of everything")
    finally:
        shutil.rmtree(own, ignore_errors=True)
