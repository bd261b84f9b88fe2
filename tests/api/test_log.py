"""`log` and its companions in wrong calls; tests/parity compares their rows with rerun's."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython

PROGRAMS = Path(__file__).with_name("programs")


def test_a_wrong_call_loses_only_its_own_row(run_python: RunPython, place: Path) -> None:
    finished = run_python(
        PROGRAMS / "wrong_calls.py",
        place / "run.rrd",
    ).check()
    for call in ("save", "log", "send_columns"):
        assert f"RerunWarning: {call}: " in finished.stderr
