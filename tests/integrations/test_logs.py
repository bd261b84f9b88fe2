"""Lines of the standard library's logging carry their level, their extra fields and the name of their process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import RunPython
from tests.harness.recordings import Row, rows_of

PROGRAMS = Path(__file__).with_name("programs")


def value(row: Row, name: str) -> Any:
    """Return the first value of a component."""
    return row.components[name].as_py()[0]


def test_lines_and_warnings_say_what_they_carry(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    done = run_python(PROGRAMS / "lines.py", path).check()
    rows = sorted(rows_of(path), key=lambda row: row.times["log_time"])

    def of(entity: str) -> list[Row]:
        return [row for row in rows if row.entity_path.strip("/") == entity]

    said = [(value(row, "TextLog:level"), value(row, "TextLog:text")) for row in of("lines/my/app")]
    assert len(said) == 3
    assert said[0] == ("WARN", "one of 2")
    assert said[1][0] == "ERROR"
    assert "ZeroDivisionError" in said[1][1]
    assert said[2] == ("Level 25", "from a child")

    first, second = of("lines/extra")
    names = ("user", "attempt", "took_secs", "is_last", "where")
    assert [value(first, name) for name in names] == ["ada", 3, 0.5, False, "['a', 'b']"]
    assert [value(second, name) for name in ("user", "attempt_text", "took_secs")] == ["7", "four", 2.0]
    [odd] = of("lines/odd")
    assert value(odd, "TextLog:text") == "third \\udcff"
    assert [value(odd, name) for name in ("name_of_file", "thing")] == ["\\udcff", "<Nameless: ValueError>"]
    assert value(odd, "large_text") == str(1 << 70)
    assert value(of("lines/stack")[0], "TextLog:text").startswith("here\nStack (most recent call last):")
    assert value(of("formatted/my/app")[0], "TextLog:text") == "ERROR/my.app: as formatted"

    [warned] = of("said")
    assert value(warned, "TextLog:level") == "WARN"
    assert value(warned, "TextLog:text").endswith("UserWarning: from a child")
    assert "from a child" in done.stderr, "warnings are shown as before"
    assert len(rows) == 3 + 2 + 1 + 1 + 1 + 1
