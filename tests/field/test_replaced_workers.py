"""Workers of a program that never imports rerun_mp: those that replace all others add to the file of these."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import count_rows, recordings_in, rows_of, verify

pytestmark = pytest.mark.real_collectors

PROGRAMS = Path(__file__).with_name("programs")
ROWS = 50
SUPERVISOR = f"""
import multiprocessing, sys

def work(path, number):
    import rerun_mp as rr
    rr.init("rerun_mp_replaced")
    rr.save(path)
    for step in range({ROWS}):
        rr.set_time("step", sequence={ROWS} * number + step)
        rr.log("worker", rr.Scalars(float(step)))

if __name__ == "__main__":
    path, method, *authkeys = sys.argv[1:]
    if authkeys:
        multiprocessing.current_process().authkey = authkeys[0].encode()
    context = multiprocessing.get_context(method)
    for number in range(3):
        workers = [context.Process(target=work, args=(path, 2 * number + one)) for one in range(2)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
            assert one.exitcode == 0
"""
"""Starts two workers when the two before have ended, as `uvicorn --workers 2 --limit-max-requests` may do."""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_add_to_the_file_of_those_that_they_replace(method: str, run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    done = run_python(SUPERVISOR, path, method, fresh=True).check()
    assert count_rows(path, timeline="step") == {"worker": 6 * ROWS}
    verify(path)
    assert len(recordings_in(path)) == 1
    assert list(tmp_path.glob("*.rrd")) == [path]
    assert done.stderr == ""


def test_the_next_run_begins_the_file_anew_also_with_a_fixed_authkey(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    for _ in range(2):
        run_python(SUPERVISOR, path, "fork", str(tmp_path), fresh=True).check()
    assert count_rows(path, timeline="step") == {"worker": 6 * ROWS}


def test_a_worker_whose_parent_takes_part_replaces_nobody(run_python: RunPython, tmp_path: Path) -> None:
    """Its file stays its own, and is begun anew, as with rerun."""
    whole, shared, other = (tmp_path / f"{name}.rrd" for name in ("whole", "shared", "other"))
    run_python(PROGRAMS / "completed_file.py", whole, shared, other).check()
    assert count_rows(shared) == {"worker/1": 50}
    assert count_rows(other) == {"founder": 1}
    assert count_rows(whole) == {"worker/0": 50, "worker/1": 50}


@pytest.mark.parametrize("who", ["nobody", "master"])
def test_forked_workers_of_a_program_without_rerun_add_to_the_file(
    who: str, run_python: RunPython, tmp_path: Path
) -> None:
    """If the master imports multiprocessing, they have its authkey in common."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAMS / "preforking.py", path, 1, who).check()
    assert count_rows(path, timeline="step") == {"worker": 4 * ROWS}
    verify(path)
    assert len(recordings_in(path)) == 1
    assert list(tmp_path.glob("*.rrd")) == [path]
    assert done.stderr == ""


def test_forked_workers_that_begin_together_take_one_file_each(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAMS / "preforking.py", path, 3, "nobody").check()
    files = [path, tmp_path / "out-2.rrd", tmp_path / "out-3.rrd"]
    assert sorted(tmp_path.glob("*.rrd")) == sorted(files)
    steps = [row.times["step"] for file in files for row in rows_of(file)]
    assert sorted(steps) == list(range(12 * ROWS))
    assert len({one for file in files for one in recordings_in(file)}) == 1
    assert done.stderr.count("is being written by another program") == 2


def test_forked_workers_with_keys_of_their_own_add_their_recordings(run_python: RunPython, tmp_path: Path) -> None:
    """Each imports multiprocessing itself, which gives it an authkey."""
    path = tmp_path / "out.rrd"
    run_python(PROGRAMS / "preforking.py", path, 1, "workers").check()
    found = recordings_in(path)
    assert [len(rows_of(path, recording_id=one)) for _, one in found] == [ROWS] * 4


def test_the_next_run_of_such_a_program_begins_the_file_anew(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    for _ in range(2):
        run_python(PROGRAMS / "preforking.py", path, 1, "nobody").check()
    assert count_rows(path, timeline="step") == {"worker": 4 * ROWS}


@pytest.mark.parametrize(
    ("who", "variant"),
    [("nobody", "clock"), ("master", "clock"), ("nobody", "id"), ("nobody", "append"), ("nobody", "again")],
)
def test_the_recording_goes_on(who: str, variant: str, run_python: RunPython, tmp_path: Path) -> None:
    """Also after the clock was set, with an id of the program's own, with mode="append", and if it is set twice."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAMS / "preforking.py", path, 1, who, variant).check()
    assert count_rows(path, timeline="step") == {"worker": 4 * ROWS}
    verify(path)
    assert len(recordings_in(path)) == 1
    assert done.stderr == ""


def test_forked_workers_of_several_applications_keep_each_others_rows(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAMS / "preforking.py", path, 1, "nobody", "applications").check()
    found = recordings_in(path)
    assert [len(rows_of(path, recording_id=one)) for _, one in found] == [2 * ROWS] * 2
    assert done.stderr == ""
