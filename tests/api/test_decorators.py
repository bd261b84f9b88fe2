"""Decorators: recordings of functions and generators, and the wait at the end of a process."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython

PROGRAMS = Path(__file__).with_name("programs")


def test_rows_are_stored_when_a_function_ends_by_return_or_exception(run_python: RunPython, place: Path) -> None:
    run_python(
        PROGRAMS / "decorated_functions.py",
        place / "run.rrd",
    ).check()


def test_generators_keep_their_recording_to_themselves(run_python: RunPython, place: Path) -> None:
    run_python(
        PROGRAMS / "decorated_generators.py",
        place / "run.rrd",
    ).check()


def test_a_generator_with_a_recording_of_its_own_keeps_its_file(run_python: RunPython, place: Path) -> None:
    """Up to its end, or until it is left; what it logs while it is closed counts too."""
    run_python(
        PROGRAMS / "generator_files.py",
        place / "ended.rrd",
        place / "left.rrd",
    ).check()
