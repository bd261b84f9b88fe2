"""`save(path, mode=...)`: what becomes of a file that lies at the path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import rerun

from rerun_mp.encoding.rrd_files import MessageKind, messages_in_file
from rerun_mp.encoding.rrd_stores import stores_in
from tests.conftest import RunPython, StartPython
from tests.harness.recordings import chunks_of, rows_of, verify
from tests.harness.sessions import SessionWatch

PROGRAM = """
import multiprocessing, sys
import rerun_mp as rr

def work(step):
    rr.set_time("step", sequence=step)
    rr.log("number", rr.Scalars(float(step)))

if __name__ == "__main__":
    path, mode, first, application, recording_id = sys.argv[1:]
    rr.init(application, recording_id=recording_id or None)
    rr.log("before", rr.TextLog("logged before the call"))
    if int(first) % 4 == 2:
        rr.flush(timeout_sec=60)  # the collector has begun the recording before it knows the file
    try:
        rr.save(path, mode=mode)
    except (rr.InvalidArgumentError, rr.ResourceError) as error:
        print(type(error).__name__, error)
    else:
        children = [multiprocessing.get_context("fork").Process(target=work, args=(int(first) + n,)) for n in range(2)]
        for child in children: child.start()
        for child in children: child.join()
"""


class Runs:
    """Runs of one program that log steps n and n + 1 each, in forked children."""

    def __init__(self, run_python: RunPython, path: Path) -> None:
        self._run_python = run_python
        self.path = path
        self.first = 0

    def __call__(self, mode: str, application: str = "app", recording_id: str = "") -> str:
        done = self._run_python(PROGRAM, self.path, mode, str(self.first), application, recording_id).check()
        self.first += 2
        assert [one for one in os.listdir(self.path.parent) if "rmp" in one] == []
        return done.stdout

    def steps(self) -> dict[str, list[int]]:
        """Return the steps in the file by recording, and check that each row is there once."""
        verify(self.path)
        found = {}
        for store in stores_in(str(self.path)):
            rows = rows_of(self.path, recording_id=store.recording_id)
            assert len({row.row_id for row in rows}) == len(rows)
            found[store.recording_id] = sorted(row.times["step"] for row in rows if row.entity_path == "number")
        return found

    def start_time(self, recording_id: str) -> int:
        """Return the newest start time of a recording."""
        chunks = list(chunks_of(self.path, properties=True, recording_id=recording_id))
        named = [one for one in chunks if "RecordingInfo:start_time" in one.components]
        newest = max(named, key=lambda one: one.row_ids[0])
        (value,) = newest.components["RecordingInfo:start_time"].values.cast("int64").to_pylist()
        return int(value)


@pytest.fixture
def runs(run_python: RunPython, tmp_path: Path) -> Runs:
    directory = tmp_path / "out"
    directory.mkdir()
    return Runs(run_python, directory / "run.rrd")


def test_a_recording_goes_on_in_its_file_and_another_one_is_added(runs: Runs) -> None:
    runs("resume")  # there is no file yet
    (first,) = runs.steps()
    began = runs.start_time(first)
    runs("resume")
    assert runs.steps() == {first: [0, 1, 2, 3]}
    assert runs.start_time(first) == began
    runs("append")
    (second,) = runs.steps().keys() - {first}
    runs("resume")  # the last one goes on
    assert runs.steps() == {first: [0, 1, 2, 3], second: [4, 5, 6, 7]}
    assert runs("resume", recording_id=first) == ""
    assert runs.steps() == {first: [0, 1, 2, 3, 8, 9], second: [4, 5, 6, 7]}
    runs("new")
    (third,) = runs.steps()
    assert third not in (first, second)


def test_files_that_rerun_has_written_are_added_to(runs: Runs) -> None:
    with rerun.RecordingStream("app", recording_id="by rerun") as stream:
        stream.save(runs.path)
        stream.set_time("step", sequence=100)
        stream.log("number", rerun.Scalars(1.0))
    runs("resume")
    assert runs.steps() == {"by rerun": [0, 1, 100]}


def test_a_recording_that_cannot_go_on_is_refused_and_the_file_stays(runs: Runs) -> None:
    runs("new", recording_id="mine")
    before = runs.path.read_bytes()
    assert "and none of 'other' to go on with" in runs("resume", "other")
    assert "no recording 'yours' to go on with, but 'mine'" in runs("resume", recording_id="yours")
    assert "holds recording 'mine' already; mode='resume'" in runs("append", recording_id="mine")
    assert "argument 'mode': 'add'" in runs("add")
    assert runs.path.read_bytes() == before
    runs.path.write_bytes(b"no recording at all")
    assert "cannot be added to" in runs("append")
    assert runs.path.read_bytes() == b"no recording at all"
    runs.path.write_bytes(before)
    damaged = with_damage(runs.path)
    runs.path.write_bytes(damaged)
    assert "cannot be added to: one of its chunks is damaged" in runs("resume", recording_id="mine")
    assert runs.path.read_bytes() == damaged


def with_damage(path: Path) -> bytes:
    """Return an .rrd file's content with wrong bytes in the data of its first chunk."""
    content = path.read_bytes()
    first = next(payload for kind, payload in messages_in_file(str(path)) if kind == MessageKind.CHUNK)
    at = content.index(first) + len(first) // 2
    return content[:at] + bytes(16) + content[at + 16 :]


LONG_PROGRAM = """
import sys, time
import rerun_mp as rr
rr.init("app")
rr.save(sys.argv[1], mode="resume")
rr.set_time("step", sequence=int(sys.argv[2]))
rr.log("number", rr.Scalars(1.0))
print("logged", flush=True)
time.sleep(600)
"""


@pytest.mark.real_collectors
def test_a_file_of_a_run_that_was_killed_with_its_collector_is_recovered_first(
    runs: Runs, start_python: StartPython
) -> None:
    runs("new")
    (first,) = runs.steps()
    watch = SessionWatch()
    killed = start_python(LONG_PROGRAM, runs.path, "50", env=watch.environment)
    killed.wait_for_output("logged")
    watch.kill_everything(killed)
    runs("resume")
    assert runs.steps() == {first: [0, 1, 2, 3, 50]}


def test_a_file_that_a_living_program_writes_is_refused(runs: Runs, start_python: StartPython) -> None:
    other = start_python(LONG_PROGRAM, runs.path, "50")
    other.wait_for_output("logged")
    for mode in ("append", "resume"):
        assert "is being written by another program" in runs(mode)
    other.end()
