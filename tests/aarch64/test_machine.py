"""The end of the emulated machine, with a program in place of qemu: CI runs no emulated machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.aarch64 import machine
from tests.aarch64.__main__ import TESTS
from tests.aarch64.guest import ENDED
from tests.harness.programs import ROOT


def run_console(monkeypatch: pytest.MonkeyPatch, log: Path, program: str, *, limit_secs: float = 60.0) -> int:
    """Run a program that writes what the emulated machine would write to its console."""
    monkeypatch.setattr(machine, "QEMU", (sys.executable, "-c", program))
    return machine.run(Path("linux"), Path("initrd"), clock="host", processors=2, log=log, limit_secs=limit_secs)


@pytest.mark.parametrize("status", [0, 1, -9])
def test_the_console_says_how_the_tests_ended(status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = f"print('1 passed'); print('[ 9.1] {ENDED} {status}')"
    assert run_console(monkeypatch, tmp_path / "console", program) == status
    assert (tmp_path / "console").read_text().startswith("1 passed\n")


def test_a_machine_without_a_result_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="without a result"):
        run_console(monkeypatch, tmp_path / "console", "print('Kernel panic')")


def test_a_machine_that_runs_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="without a result"):
        run_console(monkeypatch, tmp_path / "console", "import time; time.sleep(600)", limit_secs=0.1)


def test_the_tests_that_run_there_exist() -> None:
    paths = [argument.removeprefix("--deselect=").split("::")[0] for argument in TESTS if "tests/" in argument]
    assert [path for path in paths if not (ROOT / path).exists()] == []
