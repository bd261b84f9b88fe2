"""A program that changes only its import line writes the same rows as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import Row, rows_of

PROGRAMS = Path(__file__).with_name("programs")


def comparable(rows: list[Row]) -> list[tuple[str, dict[str, int], dict[str, Any]]]:
    """Return the content that must be equal, sorted: everything but ids and clocks."""
    seen = []
    for row in rows:
        times = {name: 0 if name == "log_time" else time for name, time in row.times.items()}
        components = {
            name: (str(value.type), value.as_py()) for name, value in row.components.items() if value.is_valid
        }
        components.pop("RecordingInfo:start_time", None)
        seen.append((row.entity_path, times, components))
    return sorted(seen, key=repr)


@pytest.mark.parametrize("which", ["first.rrd", "second.rrd"])
def test_both_write_the_same_rows(run_python: RunPython, place: Path, which: str) -> None:
    for package in ("rerun", "rerun_mp"):
        (place / package).mkdir()
        run_python(
            PROGRAMS / "usual.py", package, place / package / "first.rrd", place / package / "second.rrd"
        ).check()
    theirs, ours = (comparable(rows_of(place / package / which, properties=True)) for package in ("rerun", "rerun_mp"))
    assert ours == theirs
    assert len(ours) > 1


def test_loops_write_the_same_rows(run_python: RunPython, place: Path) -> None:
    for package in ("rerun", "rerun_mp"):
        run_python(PROGRAMS / "loops.py", package, place / f"{package}.rrd").check()
    theirs, ours = (comparable(rows_of(place / f"{package}.rrd")) for package in ("rerun", "rerun_mp"))
    assert ours == theirs
    assert len(ours) == 254
