"""A child's sink takes the rows that the child and its descendants log afterwards. The founder's sinks do too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.faults.programs.family import ALL
from tests.harness.recordings import count_rows, verify

PROGRAMS = Path(__file__).with_name("programs")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_childs_file_has_the_rows_of_the_child_and_its_descendants(
    method: str, run_python: RunPython, tmp_path: Path, place: Path
) -> None:
    run_python(PROGRAMS / "family.py", method, tmp_path).check()
    for name in ("whole", "child", "inner"):
        verify(tmp_path / f"{name}.rrd")
    names = ("founder", "child/before", "child/after", "grandchild", "inner", "child/last", "sibling")
    assert count_rows(tmp_path / "whole.rrd") == dict.fromkeys(names, ALL)
    assert count_rows(tmp_path / "child.rrd") == dict.fromkeys(
        ("child/after", "grandchild", "inner", "child/last"), ALL
    )
    assert count_rows(tmp_path / "inner.rrd") == {"inner": ALL}


def test_siblings_share_a_file_and_the_founder_takes_one_over(run_python: RunPython, tmp_path: Path) -> None:
    whole, shared, other = (tmp_path / f"{name}.rrd" for name in ("whole", "shared", "other"))
    done = run_python(PROGRAMS / "shared_file.py", whole, shared, other).check()
    assert f"{other} takes the rows of all processes now; it replaces the file of a child process" in done.stderr
    for path in (whole, shared, other):
        verify(path)
    assert count_rows(shared) == {f"worker/{number}": 100 for number in range(3)}
    assert count_rows(whole) == {**{f"worker/{number}": 100 for number in range(5)}, "founder": 1}
    assert count_rows(other) == {"founder": 1}


def test_a_childs_sink_takes_the_whole_recording_that_the_child_began(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "own.rrd"
    run_python(
        """
        import os, sys
        import rerun_mp as rr

        rr.init("rerun_mp_scope")
        if os.fork() == 0:
            rr.init("rerun_mp_scope_own")
            rr.log("before", rr.Scalars(0.0))
            rr.save(sys.argv[1])
            rr.log("after", rr.Scalars(0.0))
            rr.disconnect()
            os._exit(0)
        os.wait()
        """,
        path,
    ).check()
    verify(path)
    assert count_rows(path) == {"before": 1, "after": 1}


def test_threads_that_log_while_their_process_sets_its_first_sink_lose_nothing(
    run_python: RunPython, tmp_path: Path
) -> None:
    whole, own = tmp_path / "whole.rrd", tmp_path / "own.rrd"
    printed = run_python(PROGRAMS / "first_sink_amid_threads.py", whole, own).check()
    found = count_rows(whole)
    assert [found[f"thread/{number}"] - 1 for number in range(3)] == [int(n) for n in printed.stdout.split()]
    own_rows = count_rows(own)
    assert min(own_rows[f"thread/{number}"] for number in range(3)) >= 5, own_rows


def test_a_scopes_file_has_each_row_once_after_a_worker_was_killed(run_python: RunPython, tmp_path: Path) -> None:
    whole, own = tmp_path / "whole.rrd", tmp_path / "own.rrd"
    printed = run_python(PROGRAMS / "killing_workers.py", whole, own).check()
    for path in (whole, own):
        verify(path)
        assert count_rows(path) == {"child": int(printed.stdout)}
