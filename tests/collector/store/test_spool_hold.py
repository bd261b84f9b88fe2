"""A spool directory that somebody removes is there again, and others see that its session lives."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rerun_mp.collector.store.spool_hold import SpoolHold
from rerun_mp.errors import PrivacyError
from rerun_mp.session import origin
from rerun_mp.shm.segment import Segment


@pytest.mark.parametrize("is_made", [False, True])
def test_a_removed_spool_is_there_again_and_locked(is_made: bool, made: Segment) -> None:
    """A store may make the directory before; it has no lock and no origin then."""
    spool = made.spool_directory
    hold = SpoolHold(made)
    assert origin.is_alive(spool)
    shutil.rmtree(spool)
    if is_made:
        Path(spool).mkdir(mode=0o700, parents=True)
        assert not origin.is_alive(spool)
    hold.restore()
    assert origin.has_participants(spool)
    assert origin.Origin.read(spool) == origin.Origin.here(spool)
    before = os.stat(spool)
    hold.restore()
    assert os.stat(spool).st_ino == before.st_ino


def test_a_spool_that_cannot_be_made_anew_is_tried_once(made: Segment, tmp_path: Path) -> None:
    spool = Path(made.spool_directory)
    hold = SpoolHold(made)
    shutil.rmtree(spool)
    spool.symlink_to(tmp_path)
    with pytest.raises(PrivacyError):
        hold.restore()
    hold.restore()
    assert spool.is_symlink()
    spool.unlink()
