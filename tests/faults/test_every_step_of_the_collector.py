"""P2 and P5: a collector that is killed before any instruction of its life loses no row and leaves nothing behind.

Its life goes from opening the segment over sweep, store and completed file to the removal of the session. `make test`
tries one instruction in 8,009, from a random first one on; `make soak` tries forty times as many.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import rerun

import rerun_mp as rr
from rerun_mp.encoding.rrd_stores import compose, stores_in
from tests.conftest import RunPython
from tests.faults.programs.worker_steps import LOGGED, ROWS
from tests.faults.rows_by_number import Recorded
from tests.harness.recordings import rows_of, verify

# A guard that a dying worker has started must not be ready before the program runs the next worker.
pytestmark = pytest.mark.real_collectors

MIN_SESSIONS_FOR_TWO_DEATHS = 5
"""The program kills a second collector in half of the sessions. Among so many, it must succeed once at least."""
PROGRAM = Path(__file__).parent / "programs" / "worker_steps.py"


def test_a_collector_killed_at_a_step_of_its_life_is_resumed(run_python: RunPython, tmp_path: Path) -> None:
    """Each session's file is complete and has every row once; the segment is gone."""
    kill(run_python, tmp_path, stride=8009)


def test_a_collector_killed_at_a_step_while_files_rotate_stores_each_row_in_one_part(
    run_python: RunPython, tmp_path: Path
) -> None:
    """As above; the rows of a session lie in several parts, each of which is complete."""
    reports = kill(run_python, tmp_path, stride=150_011, rotates=True)
    parts = [rr.parts(tmp_path / f"{report['at']}.rrd") for report in reports]
    assert min(map(len, parts)) >= 3
    assert all(sum(part.rows for part in some) == len(LOGGED) * ROWS for some in parts)


@pytest.mark.parametrize("mode", ["append", "resume"])
def test_a_collector_killed_at_a_step_while_it_adds_to_a_file_loses_no_row_of_that_file(
    run_python: RunPython, tmp_path: Path, mode: str
) -> None:
    """As above; the rows that the file had are there, too, each once, and nothing is left beside it."""
    add_to_files(run_python, tmp_path, mode, stride=350_003)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", ["append", "resume"])
def test_a_collector_killed_at_any_of_hundreds_of_steps_while_it_adds_to_a_file_loses_no_row(
    run_python: RunPython, tmp_path: Path, mode: str
) -> None:
    """As above, with forty times as many steps."""
    add_to_files(run_python, tmp_path, mode, stride=3001)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_collector_killed_at_any_of_hundreds_of_steps_while_files_rotate_is_resumed(
    run_python: RunPython, tmp_path: Path
) -> None:
    """As above, with forty times as many steps."""
    kill(run_python, tmp_path, stride=307, rotates=True)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_collector_killed_at_any_of_hundreds_of_steps_is_resumed(run_python: RunPython, tmp_path: Path) -> None:
    """As above, with forty times as many steps."""
    kill(run_python, tmp_path, stride=199)


def add_to_files(run_python: RunPython, tmp_path: Path, mode: str, *, stride: int) -> None:
    """Write a file with two recordings, run the program, which adds to copies of it, and check these."""
    for name, application in (("first", "rerun_mp_worker_steps"), ("second", "rerun_mp_worker_steps"), ("third", "b")):
        with rerun.RecordingStream(application, recording_id=name) as stream:
            stream.save(tmp_path / f"{name}.rrd")
            for step in range(ROWS):
                stream.set_time("step", sequence=step)
                stream.log("former", rerun.TextLog(name))
    sources = [(f"{tmp_path}/{name}.rrd", lambda _: True) for name in ("first", "second", "third")]
    compose(sources, f"{tmp_path}/former.rrd", write_footer=True)
    first = random.randrange(stride)
    done = run_python(PROGRAM, tmp_path, str(first), str(stride), mode, timeout=3000.0).check()
    for report in map(json.loads, done.stdout.splitlines()):
        path = tmp_path / f"{report['at']}.rrd"
        verify(path)
        ids = [store.recording_id for store in stores_in(str(path))]
        assert len(ids) == 3 + (mode == "append")
        added = "second" if mode == "resume" else next(one for one in ids if one not in ("first", "second", "third"))
        for name in ("first", "second", "third"):
            texts = [row for row in rows_of(path, recording_id=name) if row.entity_path == "former"]
            assert [row.times["step"] for row in texts] == list(range(ROWS))
        new = Counter(row.entity_path for row in rows_of(path, recording_id=added) if row.entity_path != "former")
        assert new == {f"{name}/{report['at']}": ROWS for name in LOGGED}
    assert not list(tmp_path.glob(".*"))


def kill(run_python: RunPython, tmp_path: Path, *, stride: int, rotates: bool = False) -> list[dict[str, Any]]:
    """Run the program, check its files, and return its reports."""
    first = random.randrange(stride)
    done = run_python(PROGRAM, tmp_path, str(first), str(stride), *["rotating"] * rotates, timeout=3000.0).check()
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [report["at"] for report in reports] == list(range(first, first + stride * len(reports), stride))
    assert len(reports) * stride > 32_000
    assert not reports[-1]["died"]
    assert all(report["died"] for report in reports[:-1])
    assert len(reports) < MIN_SESSIONS_FOR_TWO_DEATHS or any(len(report["died"]) == 2 for report in reports)
    for report in reports:
        at = report["at"]
        recorded = Recorded.read(*tmp_path.glob(f"{at}.*rrd"))
        for name in LOGGED:
            recorded.take(name, at, returned=range(ROWS))
        assert not recorded.by_entity, f"session {at}: rows that no process logged"
    return reports
