"""Lines of the standard library's logging carry their level and the name of their process."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython
from tests.harness.recordings import rows_of

PROGRAMS = Path(__file__).with_name("programs")


def test_lines_say_their_level_and_process(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(
        PROGRAMS / "lines.py",
        path,
    ).check()
    rows = [row for row in rows_of(path) if row.entity_path.strip("/") == "lines/my/app"]
    assert len(rows) == len(rows_of(path)) == 3
    said = [(row.components["TextLog:level"].as_py()[0], row.components["TextLog:text"].as_py()[0]) for row in rows]
    assert said[0] == ("WARN", "one of 2")
    assert said[1][0] == "ERROR"
    assert "ZeroDivisionError" in said[1][1]
    assert said[2] == ("Level 25", "from a child")
