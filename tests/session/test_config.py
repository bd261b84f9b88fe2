"""A configuration survives its JSON text, and answers which sinks and scopes concern a row."""

from __future__ import annotations

import pytest

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import CorruptionError
from rerun_mp.session.config import Blueprint, RecordingSpec, Scope, SessionConfig, SinkSpec

KEY = RecordingKey("app", "recording")
OTHER = RecordingKey("app", "other")
FULL = SessionConfig(
    revision=3,
    default=KEY,
    recordings=(
        RecordingSpec(
            *KEY,
            sinks=(SinkSpec("file", "/out.rrd", owner=7, claim=(1, 2, 3), checkpoints=2),),
            start_time_ns=5,
            blueprint=Blueprint("data", make_active=True, make_default=False),
            founder=7,
        ),
    ),
    scopes=(Scope(7, 0, (100, 1)), Scope(8, 7, (200, 2))),
    default_sinks=(SinkSpec("grpc", "rerun+http://127.0.0.1:9876/proxy"),),
    figures=0.5,
    rescue_directory="/rescue",
)


@pytest.mark.parametrize("config", [SessionConfig(), FULL], ids=["empty", "full"])
def test_a_configuration_survives_its_text(config: SessionConfig) -> None:
    assert SessionConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"revision": "x"}', FULL.to_json().replace("scopes", "Scopes")])
def test_other_texts_are_corruption(text: str) -> None:
    with pytest.raises(CorruptionError, match="configuration file cannot be read"):
        SessionConfig.from_json(text)


def test_a_sink_takes_the_whole_recording_if_the_founder_or_the_recordings_process_set_it() -> None:
    spec = FULL.recordings[0]
    assert spec.is_whole(SinkSpec("file", "/a", owner=0))
    assert spec.is_whole(SinkSpec("file", "/a", owner=7))
    assert not spec.is_whole(SinkSpec("file", "/a", owner=8))


def test_a_scope_lies_within_those_around_it() -> None:
    assert FULL.scope_of((200, 2)) == 8
    assert FULL.scope_of((200, 1)) is None, "another process has had that id"
    assert FULL.around(8) == {7, 8}
    assert FULL.around(7) == {7}
    assert FULL.around(9) == frozenset()


def test_a_circle_of_scopes_ends() -> None:
    assert SessionConfig(scopes=(Scope(1, 2, (1, 1)), Scope(2, 1, (2, 2)))).around(1) == {1, 2}


def test_a_specification_replaces_the_one_with_its_key() -> None:
    changed = FULL.with_recording(RecordingSpec(*KEY)).with_recording(RecordingSpec(*OTHER))
    assert [spec.key for spec in changed.recordings] == [KEY, OTHER]
    assert changed.recording(KEY) == RecordingSpec(*KEY)
    assert FULL.recording(OTHER) is None


def test_two_recordings_never_share_a_default_file() -> None:
    config = SessionConfig(default_sinks=(SinkSpec("file", "/out.rrd"), SinkSpec("grpc", "url")))
    assert config.default_sinks_of(KEY) == config.default_sinks
    taken = config.with_recording(RecordingSpec(*KEY, sinks=config.default_sinks))
    file, viewer = taken.default_sinks_of(OTHER)
    assert file.target.startswith("/out.app-")
    assert file.target.endswith(".rrd")
    assert viewer == config.default_sinks[1]


def test_a_server_is_shown_by_host_and_port() -> None:
    assert SinkSpec("serve", '["127.0.0.1", 9876, 0]').shown_target == "127.0.0.1:9876"
    assert SinkSpec("file", "/out.rrd").shown_target == "/out.rrd"


def test_the_first_file_reads_from_the_recordings_store_and_each_other_has_one_of_its_own() -> None:
    def own_stores(spec: RecordingSpec) -> dict[str, bool]:
        return {sink.target: sink.has_own_store for sink in spec.sinks}

    pipe, first, second = SinkSpec("file", "/pipe"), file("/first"), file("/second")
    spec = RecordingSpec(*KEY).with_sinks((pipe, first, SinkSpec("grpc", "url"), second))
    assert own_stores(spec) == {"/pipe": True, "/first": False, "url": False, "/second": True}
    later = spec.with_sinks((file("/third"), *spec.sinks[2:]), {"/second", "url"})
    assert own_stores(later) == {"/third": False, "url": False, "/second": True}, "a sink keeps its store"
    assert own_stores(RecordingSpec(*KEY).with_sinks((pipe,))) == {"/pipe": False}


def file(path: str) -> SinkSpec:
    return SinkSpec("file", path, claim=(1, 2, 3))
