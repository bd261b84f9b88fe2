"""Chunks go to the stores of the recordings and scopes that they belong to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from rerun_mp.collector import outputs as module
from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.outputs import Outputs
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.session.config import RecordingSpec, Scope, SessionConfig, SinkSpec
from rerun_mp.shm.layout import Header
from rerun_mp.shm.segment import Segment
from tests.collector.made_frames import RECORDING
from tests.collector.store.made_stores import chunks, numbers_in

PARENT, CHILD, OTHER = 5, 6, 7
"""Tokens of scopes. The child's lies in the parent's."""
SCOPES = (Scope(PARENT, 0, (1, 1)), Scope(CHILD, PARENT, (2, 2)), Scope(OTHER, 0, (3, 3)))


@pytest.fixture
def outputs(made: Segment) -> Outputs:
    made.ring.words[Header.SPOOL_BYTES] = 1 << 30
    return Outputs(made)


def config_of(*sinks: SinkSpec) -> SessionConfig:
    return SessionConfig(recordings=(RecordingSpec(*RECORDING, sinks),), scopes=SCOPES)


def logged(numbers: Sequence[int], recording: RecordingKey = RECORDING, scope: int = 0) -> list[ChunkBatch]:
    return [dataclasses.replace(chunk, recording=recording, scope=scope) for chunk in chunks(numbers)]


def test_a_scoped_file_has_the_rows_of_its_scope_and_the_recording_s_file_has_all(
    outputs: Outputs, tmp_path: Path
) -> None:
    whole, scoped = tmp_path / "whole.rrd", tmp_path / "scoped.rrd"
    outputs.apply(config_of(SinkSpec("file", str(whole)), SinkSpec("file", str(scoped), owner=PARENT)))
    outputs.add([*logged([0]), *logged([1], scope=PARENT), *logged([2], scope=CHILD), *logged([3], scope=OTHER)])
    assert {status.target: status.state for status in outputs.sinks()} == dict.fromkeys(
        (str(whole), str(scoped)), "writing"
    )
    assert outputs.recordings() == [RECORDING]
    assert outputs.complete_files(0.0) == 0
    assert sorted(numbers_in(whole)) == [0, 1, 2, 3]
    assert sorted(numbers_in(scoped)) == [1, 2]


def test_a_live_sink_is_noticed_until_it_is_stopped(outputs: Outputs, tmp_path: Path) -> None:
    """The worker rests longer while there is none."""
    file = SinkSpec("file", str(tmp_path / "out.rrd"))
    outputs.apply(config_of(file))
    assert not outputs.has_live()
    outputs.apply(config_of(file, SinkSpec("grpc", "rerun+http://127.0.0.1:9/proxy")))
    assert outputs.has_live()
    outputs.apply(config_of(file))
    assert not outputs.has_live()
    outputs.close_live(0.0)


def test_recordings_that_the_configuration_does_not_name_are_bounded(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of further ones are handed back; those of named recordings never are."""
    monkeypatch.setattr(module, "MAX_UNKNOWN", 2)
    unknown = [RecordingKey("app", f"unknown {number}") for number in range(3)]
    outputs.apply(config_of())
    refused = outputs.store([*logged([0]), *(logged([1], recording)[0] for recording in unknown)])
    outputs.flush()
    assert [chunk.recording for chunk in refused] == unknown[2:]
    assert sorted(outputs.recordings()) == sorted([RECORDING, *unknown[:2]])


def test_the_longest_unused_recordings_rest_beyond_the_bound(
    outputs: Outputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 1)
    keys = [RecordingKey("app", name) for name in ("first", "second")]
    paths = [tmp_path / f"{key.recording_id}.rrd" for key in keys]
    specs = (RecordingSpec(*key, (SinkSpec("file", str(path)),)) for key, path in zip(keys, paths, strict=True))
    outputs.apply(SessionConfig(recordings=tuple(specs)))
    for number, key in enumerate([*keys, keys[0]]):
        outputs.add(logged([number], key))
        assert [status.state for status in outputs.sinks()].count("writing") == 1
    assert outputs.complete_files(0.0) == 0
    assert [sorted(numbers_in(path)) for path in paths] == [[0, 2], [1]]


def test_a_later_life_knows_the_recordings_in_the_spool(outputs: Outputs, made: Segment) -> None:
    outputs.add(logged([0]))
    assert Outputs(made).recordings() == [RECORDING]


def test_rows_before_a_further_file_are_there_once_although_a_dead_collector_had_begun_their_sweep(
    outputs: Outputs, made: Segment, tmp_path: Path
) -> None:
    outputs.apply(config_of())
    outputs.add(logged([0, 1]))
    first, second = tmp_path / "first.rrd", tmp_path / "second.rrd"
    again = Outputs(made)
    again.apply(config_of(SinkSpec("file", str(first)), SinkSpec("file", str(second), has_own_store=True)))
    again.begin(1, logged([1, 2]))
    again.add(logged([1, 2]))
    assert again.complete_files(0.0) == 0
    assert sorted(numbers_in(first)) == sorted(numbers_in(second)) == [0, 1, 2]
