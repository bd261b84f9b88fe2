"""Which session a path belongs to while a killed run's collector still writes there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.session import ownership
from rerun_mp.session.file_claims import hold_file
from rerun_mp.session.ownership import Owner, take_path
from rerun_mp.shm.segment import Segment


def test_a_file_that_a_killed_runs_collector_has_just_put_there_is_set_aside(
    lone_segment: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The collector holds the file, and its journal names it a moment later."""
    path = tmp_path / "out.rrd"
    path.write_bytes(b"rows of the first run")
    lock = hold_file(str(path))
    assert lock is not None
    status = os.stat(path)
    looks = iter([frozenset(), frozenset({(status.st_dev, status.st_ino)})])

    def owners_of(_: str) -> Iterator[Owner]:
        yield Owner("0123456789abcdef", "/nowhere/runtime", "/nowhere/spool", next(looks))

    monkeypatch.setattr(ownership, "_owners_of", owners_of)
    try:
        taken = take_path(lone_segment, str(path))
    finally:
        lock.release()
    assert taken.path == str(path)
    assert path.read_bytes() == b""
    assert (tmp_path / "out.recovered-01234567.rrd").read_bytes() == b"rows of the first run"
    assert capfd.readouterr().err == ""
