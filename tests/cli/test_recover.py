"""The entry `python -m rerun_mp recover` works without typer and rich, and says what is wrong with a call.

`tests/faults/test_recovery.py` recovers real sessions with it, `tests/cli/test_app.py` with `rerun-mp recover`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rerun_mp.cli import recover
from tests.conftest import RunPython
from tests.harness.programs import ROOT

pytestmark = pytest.mark.real_collectors


def test_an_unknown_session_is_a_wrong_call(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recover.recover(["0123456789abcdef"]) == 2
    assert "no leftover session is named 0123456789abcdef" in capsys.readouterr().err


def test_nothing_to_recover_is_success(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recover.main([]) == recover.main(["--list"]) == 0
    assert capsys.readouterr().out == "nothing is left to recover\n" * 2
    assert recover.main(["--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_the_entry_needs_neither_typer_nor_rich(place: Path, run_python: RunPython) -> None:
    done = run_python(
        """
        import runpy, sys
        sys.modules["typer"] = sys.modules["rich"] = None
        sys.argv = ["rerun_mp", "recover", "--list"]
        try:
            runpy.run_module("rerun_mp", run_name="__main__")
        except SystemExit as ended:
            assert ended.code == 0
        sys.argv = ["rerun_mp", "status"]
        try:
            runpy.run_module("rerun_mp", run_name="__main__")
        except SystemExit as ended:
            assert ended.code == 2
        """,
        env={"PYTHONPATH": str(ROOT)},
    ).check()
    assert done.stdout == "nothing is left to recover\n"
    assert "pip install 'rerun_mp[cli]'" in done.stderr


@pytest.mark.parametrize(
    ("secs", "text"), [(0.4, "0 seconds"), (119, "119 seconds"), (120, "2 minutes"), (7200, "2 hours"), (2e5, "2 days")]
)
def test_ages_have_the_largest_unit_that_fits_twice(secs: float, text: str) -> None:
    assert recover._duration(secs) == text
