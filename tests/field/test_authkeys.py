"""Two programs that set the same multiprocessing authkey have the same recording ids, and files of their own."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.field.held import held
from tests.harness.recordings import count_rows, recordings_in, verify

pytestmark = pytest.mark.real_collectors

PROGRAM = Path(__file__).parent / "programs" / "sharing_an_authkey.py"


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_programs_with_one_authkey_share_ids_and_no_files(
    method: str, start_python: StartPython, run_python: RunPython, tmp_path: Path, place: Path
) -> None:
    gate, paths = tmp_path / "gate", [tmp_path / "one.rrd", tmp_path / "two.rrd"]
    open_gate = tmp_path / "open"
    open_gate.touch()
    with held(gate):
        first = start_python(PROGRAM, gate, paths[0], "one", method, fresh=True)
        first.wait_for_output("has logged")
        second = run_python(PROGRAM, open_gate, paths[1], "two", method, fresh=True).check()
        assert second.stderr.count("another program with the same multiprocessing authkey has a session") == 1
    first.wait().check()
    assert "authkey" not in first.stderr
    for path, name in zip(paths, ("one", "two"), strict=True):
        assert count_rows(path) == {f"{name}/parent": 1, f"{name}/child": 1, f"{name}/detached": 1}
        verify(path)
    assert recordings_in(paths[0]) == recordings_in(paths[1])
