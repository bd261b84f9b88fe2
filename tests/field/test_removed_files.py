"""Somebody removes a program's file, or its directory, while the program logs. The file comes back with every row."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import COMMAND
from tests.harness.recordings import count_rows, verify

pytestmark = pytest.mark.real_collectors

ROWS = 200
PROGRAM = Path(__file__).with_name("programs") / "removed_file.py"
EXPECTED = {"before": 1, "after": ROWS + 1}


@pytest.mark.parametrize("moment", ["running", "ending"])
@pytest.mark.parametrize("removed", ["file", "directory"])
def test_a_removed_file_is_there_again_with_every_row(
    removed: str, moment: str, run_python: RunPython, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "out.rrd"
    path.parent.mkdir()
    done = run_python(PROGRAM, path, removed, moment, fresh=True).check()
    assert count_rows(path) == EXPECTED
    verify(path)
    assert done.stdout == "None\n"
    assert done.stderr == ""


@pytest.mark.parametrize("removed", ["file", "directory"])
def test_parts_go_on_in_a_directory_that_is_made_anew(removed: str, run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "out.rrd"
    path.parent.mkdir()
    done = run_python(PROGRAM, path, removed, "running", "parts", fresh=True).check()
    parts = sorted(path.parent.glob("out.*.rrd"))
    assert len(parts) > 1
    counts: dict[str, int] = {}
    for part in parts:
        verify(part)
        for entity, rows in count_rows(part).items():
            counts[entity] = counts.get(entity, 0) + rows
    assert counts == EXPECTED
    assert done.stderr == ""


def test_rows_of_a_removed_directory_that_cannot_be_made_anew_are_where_the_message_says(
    place: Path, run_python: RunPython, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "out.rrd"
    path.parent.mkdir()
    done = run_python(PROGRAM, path, "directory", "ending", "in-the-way", fresh=True).check()
    assert f"has no directory any more. The missing rows are in {place}" in done.stderr
    run_python(COMMAND, "recover", "--quiet").check()
    (kept,) = (place / "data").rglob("*.rrd")
    assert count_rows(kept) == EXPECTED
