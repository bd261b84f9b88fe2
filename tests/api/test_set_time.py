"""Times belong to a thread and a recording; a wrong value is refused and changes nothing."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import rerun_mp as rr
from rerun_mp.api.recording import RecordingStream
from rerun_mp.api.state import RecordingState, state_of
from rerun_mp.encoding.frames import RecordingKey


@pytest.fixture
def recording() -> RecordingStream:
    """Return a handle that needs no session: nothing is logged here."""
    return RecordingStream.of_state(state_of(RecordingKey("app", os.urandom(8).hex())))


@pytest.fixture
def state(recording: RecordingStream) -> RecordingState:
    """Return what this process knows of `recording`."""
    assert recording.state is not None
    return recording.state


@pytest.fixture
def strict() -> Iterator[None]:
    """Turn strict mode on for the test."""
    rr.set_strict_mode(True)
    yield
    rr.set_strict_mode(False)


def times_of(state: RecordingState) -> dict[str, int]:
    names, values = state.times.stamp(None, None)
    return {name: value for (name, _), value in zip(names, values, strict=True)}


def test_set_disable_and_reset(recording: RecordingStream, state: RecordingState) -> None:
    recording.set_time("frame", sequence=7)
    rr.set_time("elapsed", duration=1.5, recording=recording)
    assert times_of(state) == {"elapsed": 1_500_000_000, "frame": 7}
    recording.disable_timeline("frame")
    recording.disable_timeline("never set")
    assert times_of(state) == {"elapsed": 1_500_000_000}
    rr.reset_time(recording)
    assert times_of(state) == {}


def test_times_belong_to_their_thread(recording: RecordingStream, state: RecordingState) -> None:
    seen: list[dict[str, int]] = []

    def other() -> None:
        seen.append(times_of(state))
        recording.set_time("frame", sequence=2)

    recording.set_time("frame", sequence=1)
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [{}]
    assert times_of(state) == {"frame": 1}


def test_times_belong_to_their_recording_and_handles_share_them(recording: RecordingStream) -> None:
    assert recording.state is not None
    recording.set_time("frame", sequence=1)
    assert times_of(state_of(recording.state.key)) == {"frame": 1}
    assert times_of(state_of(RecordingKey("app", "another"))) == {}


def test_a_forked_child_keeps_the_forking_threads_times(recording: RecordingStream, state: RecordingState) -> None:
    recording.set_time("frame", sequence=5)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if times_of(state) == {"frame": 5} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("given", [{}, {"sequence": 1, "duration": 2}, {"duration": 1, "timestamp": 2}])
def test_exactly_one_time_must_be_given_in_either_mode(recording: RecordingStream, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Exactly one of"):
        recording.set_time("t", **given)


@pytest.mark.parametrize("name", [3, None, b"t"])
def test_a_name_must_be_a_string_in_either_mode(recording: RecordingStream, name: Any) -> None:
    with pytest.raises(TypeError, match="timeline"):
        recording.set_time(name, sequence=1)
    with pytest.raises(TypeError, match="timeline"):
        recording.disable_timeline(name)


@pytest.mark.parametrize("given", [{"sequence": "3"}, {"sequence": 1.5}, {"duration": "x"}, {"timestamp": b"x"}])
def test_a_value_of_a_wrong_type_raises_in_either_mode(recording: RecordingStream, given: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        recording.set_time("t", **given)


NO_TIMES = [{"sequence": math.nan}, {"sequence": 2**63}, {"duration": math.inf}, {"timestamp": 1e12}]


@pytest.mark.parametrize("given", NO_TIMES)
@pytest.mark.parametrize("is_strict", [False, True])
def test_an_impossible_value_raises_as_in_rerun_and_the_time_stays(
    recording: RecordingStream, state: RecordingState, given: dict[str, Any], is_strict: bool
) -> None:
    recording.set_time("t", sequence=1)
    rr.set_strict_mode(is_strict)
    try:
        with pytest.raises((ValueError, OverflowError)):
            recording.set_time("t", **given)
    finally:
        rr.set_strict_mode(False)
    assert times_of(state) == {"t": 1}


def test_without_a_recording_wrong_calls_raise_and_right_ones_set_nothing() -> None:
    rr.set_time("t", sequence=1)
    rr.disable_timeline("t")
    rr.reset_time()
    with pytest.raises(TypeError):
        rr.set_time("t", sequence="1")  # type: ignore[arg-type]


@pytest.mark.parametrize("switch", [rr.set_log_time_enabled, rr.set_log_tick_enabled])
def test_switches_take_only_booleans(recording: RecordingStream, switch: Any) -> None:
    with pytest.raises(TypeError, match="enabled"):
        switch("yes", recording)


@pytest.mark.parametrize(("text", "expected"), [("off", False), ("0", False), ("on", True), ("nonsense", True)])
def test_the_environment_says_whether_rows_carry_their_time(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    monkeypatch.setenv("RERUN_LOG_TIME", text)
    assert RecordingState(RecordingKey("a", "b")).has_log_time is expected
