"""Hazard 18: a row that kills every worker that handles it is lost. The collector goes on, and other rows arrive."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from rerun_mp.api.column_rows import FRAMES_FIRST
from tests.conftest import RunPython
from tests.harness.programs import ROOT
from tests.harness.recordings import rows_of, verify

pytestmark = pytest.mark.real_collectors

KILLER = Path(__file__).with_name("programs") / "deadly_rows.py"
"""Imported by every interpreter: workers die of a real segmentation fault at one entity's chunk or frame."""

PROGRAM = Path(__file__).with_name("programs") / "with_victims.py"


def run(run_python: RunPython, tmp_path: Path, *victims: str) -> tuple[list[int], Counter[str]]:
    """Log rows, some of them deadly. Returns the program's figures, and the file's rows by entity."""
    (tmp_path / "site").mkdir()
    shutil.copy(KILLER, tmp_path / "site" / "sitecustomize.py")
    path = tmp_path / "out.rrd"
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    done = run_python(PROGRAM, path, *victims, env=env, timeout=120.0).check()
    verify(path)
    found = Counter(row.entity_path for row in rows_of(path))
    assert found.pop("__rerun_mp/dropped", 0) > 0 or not victims, "the recording reports the dropped rows"
    return json.loads(done.stdout), found


@pytest.mark.parametrize(
    "victims",
    [
        ("killer/columns",),
        pytest.param(("killer/table",), marks=pytest.mark.soak),
        pytest.param(("killer/frame",), marks=pytest.mark.soak),
        pytest.param(("killer/table", "killer/columns", "killer/frame"), marks=pytest.mark.soak),
    ],
)
def test_a_chunk_that_kills_workers_is_dropped_and_counted(
    victims: tuple[str, ...], run_python: RunPython, tmp_path: Path
) -> None:
    """Each deadly row counts as damaged. Every other row arrives once, also those logged afterwards."""
    (delivered, damaged, _, lives), rows = run(run_python, tmp_path, *victims)
    assert rows == {"table": 50, "columns": 50, "frame": 50, "after": 10}
    assert (delivered, damaged) == (150, len(victims))
    assert lives > 3


@pytest.mark.parametrize("kind", ["frame", "columns"])
def test_a_slot_that_kills_workers_is_dropped_and_counted(kind: str, run_python: RunPython, tmp_path: Path) -> None:
    """A frame or a table's row whose decoding kills costs the rest of its slot, and the slot is counted."""
    (delivered, _, slots, lives), rows = run(run_python, tmp_path, f"reader/{kind}")
    # An earlier sweep may have taken the rows before the deadly one.
    assert rows[kind] <= 26
    assert (rows["table"], rows["after"]) == (50, 10)
    if kind == "frame":
        # The first rows for a table of columns are frames, too.
        assert 50 - FRAMES_FIRST <= rows["columns"] <= 50
    else:
        assert rows["frame"] == 50
    assert delivered == rows.total() - rows["after"]
    assert slots >= 1
    assert lives > 3
