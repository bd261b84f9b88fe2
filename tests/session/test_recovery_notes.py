"""A note on a file that was recovered unasked is taken once, and holds only for that file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerun_mp.session import recovery_notes


@pytest.fixture
def out(place: Path, tmp_path: Path) -> Path:
    path = tmp_path / "out.rrd"
    path.write_bytes(b"rows")
    return path


def test_a_note_is_taken_once(out: Path) -> None:
    assert recovery_notes.take(str(out)) is None
    recovery_notes.write(str(out), "session", is_done=False)
    recovery_notes.write(str(out), "session", is_done=True)
    assert recovery_notes.take(str(out)) == "session"
    assert recovery_notes.take(str(out)) is None


def test_a_recovery_that_was_killed_has_left_a_note(out: Path) -> None:
    recovery_notes.write(str(out), "session", is_done=False)
    out.write_bytes(b"more rows")
    assert recovery_notes.take(str(out)) == "session"


def test_a_file_that_another_program_has_put_there_since_is_not_the_recovered_one(out: Path) -> None:
    recovery_notes.write(str(out), "session", is_done=False)
    recovery_notes.write(str(out), "session", is_done=True)
    out.unlink()
    out.write_bytes(b"of another program")
    assert recovery_notes.take(str(out)) is None


def test_a_path_that_was_taken_meanwhile_gets_no_note(out: Path) -> None:
    recovery_notes.write(str(out), "session", is_done=False)
    assert recovery_notes.take(str(out)) == "session"
    recovery_notes.write(str(out), "session", is_done=True)
    assert recovery_notes.take(str(out)) is None


def test_the_number_of_notes_is_bounded(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery_notes, "MAX_NOTES", 3)
    for number in range(6):
        Path(f"{out}-{number}").touch()
        recovery_notes.write(f"{out}-{number}", "session", is_done=False)
    assert sum(recovery_notes.take(f"{out}-{number}") is not None for number in range(6)) <= 3


def test_a_session_without_a_noted_exit_was_killed(tmp_path: Path) -> None:
    assert recovery_notes.was_killed(str(tmp_path))
    recovery_notes.note_exit(str(tmp_path))
    assert not recovery_notes.was_killed(str(tmp_path))
    recovery_notes.note_exit(str(tmp_path / "missing"))
    assert recovery_notes.was_killed(str(tmp_path / "missing"))
