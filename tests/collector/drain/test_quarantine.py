"""The quarantine's record, over the lives of several workers. tests/faults/test_quarantine.py has real crashes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rerun_mp.collector.drain.quarantine import MAX_DEATHS, MAX_QUARANTINED, MAX_SUSPICIONS, Quarantine

SLOTS = 8
DONE = 5
CAREFUL_SWEEPS = 2 * SLOTS


def start(directory: Path, done: int = DONE) -> Quarantine:
    """Start a worker after sweep number `done`."""
    return Quarantine(str(directory), done, SLOTS)


def start_careful(directory: Path) -> Quarantine:
    """Start workers until one is careful: none of them completes a sweep."""
    for _ in range(MAX_DEATHS):
        assert not start(directory).is_careful(DONE)
    careful = start(directory)
    assert careful.is_careful(DONE)
    return careful


def test_workers_that_complete_sweeps_are_not_careful(tmp_path: Path) -> None:
    for done in range(3 * MAX_DEATHS):
        assert not start(tmp_path, done).is_careful(done)


def test_care_ends_when_every_slot_has_had_its_turn(tmp_path: Path) -> None:
    careful = start_careful(tmp_path)
    assert careful.is_careful(DONE + CAREFUL_SWEEPS - 1)
    assert not careful.is_careful(DONE + CAREFUL_SWEEPS)


def test_a_suspect_of_two_deaths_is_quarantined(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """After the first death it is not: another process may have killed the worker."""
    worker = start_careful(tmp_path)
    for _ in range(MAX_SUSPICIONS):
        assert worker.allows("slot 3")
        worker = start(tmp_path)
    assert not worker.allows("slot 3")
    assert worker.allows("slot 4")
    assert f"slot 3 has ended {MAX_SUSPICIONS} workers; it is left out and counted as damaged" in capfd.readouterr().err
    assert not start(tmp_path, DONE + 100).allows("slot 3"), "it stays quarantined after the careful sweeps"


def test_nothing_is_suspected_of_a_death_between_two_touches(tmp_path: Path) -> None:
    worker = start_careful(tmp_path)
    for _ in range(2 * MAX_SUSPICIONS):
        assert worker.allows("slot 3")
        worker.clear_suspect()
        worker = start(tmp_path)
    assert worker.allows("slot 3")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2]", b'{"sweep": "six"}', b"\xff"])
def test_a_damaged_record_is_begun_again(content: bytes, tmp_path: Path) -> None:
    start_careful(tmp_path)
    (tmp_path / "quarantine.json").write_bytes(content)
    assert not start(tmp_path).is_careful(DONE)
    assert start(tmp_path).allows("slot 3")


def test_the_record_is_bounded(tmp_path: Path) -> None:
    start_careful(tmp_path).allows("the last one")
    record = json.loads((tmp_path / "quarantine.json").read_text())
    record["quarantined"] = [str(number) for number in range(MAX_QUARANTINED)]
    record["suspicions"] = {"the last one": MAX_SUSPICIONS - 1}
    (tmp_path / "quarantine.json").write_text(json.dumps(record))
    worker = start(tmp_path)
    assert not worker.allows("the last one")
    assert worker.allows("0"), "the oldest entry is forgotten"
    assert not worker.allows("1")


def test_a_worker_goes_on_without_a_directory_for_its_record(tmp_path: Path) -> None:
    assert start(tmp_path / "missing").allows("slot 3")
