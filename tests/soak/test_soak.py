"""A short run of some kills, and a check that an episode notices lost and doubled rows."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.containers import may_contain
from tests.soak.episode import KILLS, Episode, Totals, check_rows, run
from tests.soak.files import Kind, run_files
from tests.soak.storm import COLUMNS, KINDS, kind_of
from tests.soak.workers import may_change_users


@pytest.mark.parametrize(
    ("method", "kills"),
    [
        *[("fork", 20), ("forkserver", 6), ("spawn", 3)],
        *[pytest.param(method, kills, marks=pytest.mark.soak) for method, kills in KILLS.items()],
    ],
)
def test_workers_killed_at_random_cost_no_returned_row(method: str, kills: int) -> None:
    """Guard and worker are killed meanwhile, too."""
    totals, seed = Totals(), random.randrange(1_000_000)
    episode = Episode.draw(seed, 0, method=method, kills=kills)
    episode = replace(episode, faults=("worker", "guard+worker"), server=None, kills_parent=False)
    print(episode)
    run(episode, totals)
    print(totals)
    assert totals.is_clean
    assert totals.workers == {method: kills}
    assert totals.returned > kills


LOGS = """
import sys
import numpy as np
import rerun_mp as rr
from tests.soak.workers import may_change_users
from tests.soak.storm import COLUMNS, KINDS, kind_of
rr.init("rerun_mp_soak")
rr.save(sys.argv[1])
for call in map(int, sys.argv[2:]):
    kind = KINDS[kind_of(0, call)]
    rr.set_time("call", sequence=call)
    if kind == "columns":
        times = rr.TimeColumn("call", sequence=[call] * COLUMNS)
        rr.send_columns("w0/columns", [times], rr.Scalars.columns(scalars=np.arange(float(COLUMNS))))
    else:
        rr.log(f"w0/{kind}", rr.Scalars(0.0))
"""


@pytest.mark.parametrize(
    ("calls", "lost", "twice"),
    [(range(10), 0, 0), ([0, 1, 2, 3, 5, 6, 7, 8, 9], "some", 0), ([*range(10), 3], 0, "some"), (range(11), 0, 0)],
    ids=["all rows", "a row is missing", "a row is doubled", "a row of an interrupted call"],
)
def test_an_episode_counts_missing_and_doubled_rows(
    calls: list[int], lost: object, twice: object, run_python: RunPython, tmp_path: Path
) -> None:
    """Ten calls returned, and the file has those of `calls`."""
    path, totals = tmp_path / "out.rrd", Totals()
    run_python(LOGS, path, *map(str, calls)).check()
    if not lost and not twice:
        check_rows(path, [10], [0], [], totals)
        assert totals.unreturned == (1 if len(calls) == 11 else 0) * expected(10)
        assert totals.returned == sum(map(expected, range(10)))
    else:
        with pytest.raises(AssertionError, match="rows lost"):
            check_rows(path, [10], [0], [], totals)
    assert totals.lost == (expected(4) if lost else 0)
    assert totals.twice == (expected(3) if twice else 0)


def expected(call: int) -> int:
    """Return how many rows a call of worker 0 logs."""
    return COLUMNS if KINDS[kind_of(0, call)] == "columns" else 1


def run_episodes(kind: Kind, episodes: int = 1) -> Totals:
    """Run episodes of one kind from a seed that is printed. Return their totals, which are clean."""
    totals, seed = Totals(), random.randrange(1_000_000)
    print(seed)
    for number in range(episodes):
        run_files(kind, f"{seed}:{number}", totals)
    print(totals)
    assert totals.is_clean
    return totals


def test_files_and_sinks_in_any_combination_have_the_rows_that_they_must() -> None:
    """The combination is always the same; `make soak` draws others. Processes and collectors are killed meanwhile."""
    totals = Totals()
    run_files("mixed", "fixed:6", totals, steps=15)
    assert totals.is_clean
    assert totals.returned > 0


def test_a_script_that_is_restarted_over_its_path_loses_no_row() -> None:
    totals = run_episodes("restarts")
    assert totals.others["script restarted over its path"] == 3


def test_a_receiver_that_is_gone_at_the_end_costs_no_row_and_the_program_reports_it() -> None:
    run_episodes("receivers")


@pytest.mark.soak
@pytest.mark.skipif(not may_contain(), reason="this user may not create namespaces")
def test_the_workers_of_process_1_lose_no_row() -> None:
    """Workers, collectors and process 1 are killed; otherwise it sees its last child go."""
    totals = run_episodes("process 1")
    assert totals.others["process 1 killed"] + totals.others["process 1 that waited for all children"] == 1


@pytest.mark.soak
@pytest.mark.skipif(not may_change_users(), reason="only root can change its user")
def test_workers_that_change_their_user_lose_no_row() -> None:
    """Workers and collectors are killed meanwhile."""
    totals = run_episodes("users")
    for when in ("before", "after"):
        assert totals.others[f"worker that changed its user {when} its first rows"] >= 1


@pytest.mark.soak
@pytest.mark.skipif(not may_contain(), reason="this user may not create namespaces")
def test_twenty_pairs_of_containers_with_shared_homes_lose_no_row() -> None:
    """Programs, collectors and whole containers are killed at random."""
    run_episodes("homes", 20)
