"""The configuration file lies in two places, is replaced under a lock, and its revision says that it has changed."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rerun_mp.errors import SessionError
from rerun_mp.session import config_file
from rerun_mp.session.config import SessionConfig
from rerun_mp.session.config_file import ConfigEditor, read_config, write_config
from rerun_mp.shm import leases
from rerun_mp.shm.doorbell import Ringer
from rerun_mp.shm.layout import Header, Lock
from rerun_mp.shm.segment import Segment


@pytest.fixture
def editor(lone_segment: Segment) -> ConfigEditor:
    return ConfigEditor(lone_segment, Ringer(lone_segment.nonce))


def test_before_the_first_write_the_configuration_is_empty(lone_segment: Segment) -> None:
    assert read_config(lone_segment) == SessionConfig()


@pytest.mark.parametrize("lost", ["runtime_directory", "spool_directory"])
def test_either_directory_may_be_lost(lost: str, lone_segment: Segment) -> None:
    config = SessionConfig(revision=1, figures=2.0)
    write_config(lone_segment, config)
    shutil.rmtree(getattr(lone_segment, lost))
    assert read_config(lone_segment) == config


def test_each_edit_raises_the_revision(lone_segment: Segment, editor: ConfigEditor) -> None:
    for revision in (1, 2):
        assert editor.edit(lambda config: replace(config, figures=3.0)) == revision
        assert lone_segment.ring.words[Header.CONFIG_REVISION] == revision
        assert read_config(lone_segment) == SessionConfig(revision=revision, figures=3.0)


def test_a_change_that_raises_changes_nothing(lone_segment: Segment, editor: ConfigEditor) -> None:
    def change(config: SessionConfig) -> SessionConfig:
        assert editor.is_editing()
        raise KeyError(config.revision)

    with pytest.raises(KeyError):
        editor.edit(change)
    assert not editor.is_editing()
    assert lone_segment.ring.words[Header.CONFIG_REVISION] == 0
    assert editor.edit(lambda config: config) == 1, "the lock is free again"


def test_a_lock_that_another_process_keeps_is_named(
    lone_segment: Segment, editor: ConfigEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_file, "LOCK_TIMEOUT_SECS", 0.05)
    descriptor = lone_segment.open()
    try:
        assert leases.try_lock(descriptor, Lock.CONFIG)
        with pytest.raises(SessionError, match=r"has held the configuration lock for 0\.05 s"):
            editor.edit(lambda config: config)
    finally:
        os.close(descriptor)


def test_readers_see_no_half_of_a_file(lone_segment: Segment, editor: ConfigEditor) -> None:
    editor.edit(lambda config: config)
    names = {path.name for path in Path(lone_segment.runtime_directory).iterdir()}
    assert names == {config_file.CONFIG_NAME}
