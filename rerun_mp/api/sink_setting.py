"""Setting a recording's sinks: the steps that the public functions of `routing` and rerun's own functions share.

The session's configuration tells the collector, which opens the sinks. Any thread of any process may call.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rerun_mp.api.active import active_state
from rerun_mp.api.sinks import GrpcServerSink, Sink, StdoutSink
from rerun_mp.errors import InvalidArgumentError, ResourceError, SessionEndedError
from rerun_mp.hooks.strictness import warn
from rerun_mp.session import current, sink_changes
from rerun_mp.session.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from rerun import RecordingStream
    from rerun.blueprint import BlueprintLike

    from rerun_mp.api.state import RecordingState
    from rerun_mp.session.config import SinkSpec
    from rerun_mp.session.session import Session

__all__ = [
    "check_sinks",
    "complete_files",
    "complete_files_of_last_handle",
    "configure_sinks",
    "replace_sinks",
    "replace_sinks_for_rerun",
    "send_blueprint",
    "session_of",
    "write_to_stdout",
]

SERVER_START_SECS = 10.0
"""Maximum seconds that a call waits until a server that the collector starts listens."""


def replace_sinks(state: RecordingState, sinks: Iterable[Sink], default_blueprint: BlueprintLike | None) -> None:
    """Replace the recording's sinks, and have viewers show `default_blueprint`.

    Raises
    ------
    ResourceError
        If a file cannot be written, or a port is in use.
    """
    blueprint = None if default_blueprint is None else _encoded_blueprint(state.key.application_id, default_blueprint)
    _open_sinks(state, sinks, blueprint)


def replace_sinks_for_rerun(recording: RecordingStream | None, sinks: tuple[Sink, ...], storage: Any) -> None:
    """Replace a recording's sinks. `storage` is rerun's object with the default blueprint, or None."""
    state = active_state(recording)
    assert state is not None
    check_sinks(sinks)
    _open_sinks(state, sinks, None if storage is None else _encoded(storage))


def write_to_stdout(recording: RecordingStream | None, storage: Any, *, write_footer: bool) -> None:
    """Write a recording to this process's standard output, unless that is a terminal."""
    sys.stdout.flush()
    if os.isatty(1):
        warn("stdout: the standard output is a terminal; it shows no recording, and the sinks stay.", recording)
        return
    replace_sinks_for_rerun(recording, (StdoutSink(write_footer=write_footer),), storage)


def send_blueprint(recording: RecordingStream | None, storage: Any, *, make_active: bool, make_default: bool) -> None:
    """Send a blueprint to all sinks of a recording, whichever process set them. `storage` is rerun's object with it."""
    from rerun_mp.session.config import Blueprint

    state = active_state(recording)
    assert state is not None
    sink_changes.send_blueprint(session_of(state), state.key, Blueprint(_encoded(storage), make_active, make_default))


def _open_sinks(state: RecordingState, sinks: Iterable[Sink], blueprint: str | None) -> None:
    given = list(sinks)
    specs = tuple(sink.spec(blueprint) for sink in given)
    known = {spec.target for spec in (*state.sinks, *sink_changes.shared_sinks(session_of(state), state.key))}
    servers = [
        sink
        for sink, spec in zip(given, specs, strict=True)
        if isinstance(sink, GrpcServerSink) and spec.target not in known
    ]
    for server in servers:
        if not server.is_port_free():
            raise ResourceError(
                f"no server can listen on {server.uri}: something else does; choose another port, or 0 for a free one"
            )
    configure_sinks(state, specs)
    for server in servers:
        # The program may pass the address on, so the server must listen when the call returns.
        if not wait_until(server.listens, SERVER_START_SECS, meanwhile=session_of(state).watch_collector):
            warn(f"the server at {server.uri} does not listen yet; the collector goes on trying.", None)


def check_sinks(sinks: Iterable[object]) -> None:
    """Raise `InvalidArgumentError` for anything that is no sink."""
    for sink in sinks:
        if not isinstance(sink, Sink):
            raise InvalidArgumentError(
                f"{type(sink).__module__}.{type(sink).__name__} is no sink that the collector can open; give "
                "rerun_mp.GrpcSink, rerun_mp.GrpcServerSink and rerun_mp.FileSink objects"
            )


def configure_sinks(state: RecordingState, specs: tuple[SinkSpec, ...], *, in_place_of: SinkSpec | None = None) -> bool:
    """Send the recording to these sinks, in place of the sinks that this process has set before.

    Returns False, and changes nothing, if `in_place_of` is given and is not one of those sinks any more.
    """
    with state.sinks_lock:
        if in_place_of is not None and in_place_of not in state.sinks:
            return False
        sink_changes.set_sinks(session_of(state), state.key, specs)
        current.register_exit()
        state.sinks = specs
        return True


def session_of(state: RecordingState) -> Session:
    """Return the session that brings the recording to its sinks.

    Raises
    ------
    SessionEndedError
        If the session has ended.
    """
    joined = current.session()
    if joined is None:
        raise SessionEndedError(
            f"the session of recording {state.key.recording_id!r} has ended; call rerun_mp.init() again"
        )
    return joined


def complete_files(state: RecordingState) -> None:
    """Store this process's rows, and complete the files that it has set. Later rows are added to the files."""
    joined = current.session()
    if joined is None:
        return
    if any(sink.kind == "file" for sink in state.sinks):
        sink_changes.checkpoint(joined, state.key)
    else:
        joined.flush(joined.settings.exit_timeout)


def complete_files_of_last_handle(state: RecordingState) -> None:
    """Complete the files that this process has set. The destructor of its last handle of the recording calls this."""
    joined = current.session()
    # A destructor can run in the middle of an edit. Then the files become complete when the session ends.
    if (
        joined is not None
        and not joined.config_editor.is_editing()
        and any(sink.kind == "file" for sink in state.sinks)
    ):
        sink_changes.checkpoint(joined, state.key)


def _encoded_blueprint(application_id: str, blueprint: BlueprintLike) -> str:
    from rerun.blueprint.api import create_in_memory_blueprint

    return _encoded(create_in_memory_blueprint(application_id=application_id, blueprint=blueprint).storage)


def _encoded(storage: Any) -> str:
    from base64 import b64encode

    return b64encode(storage.concat_as_bytes()).decode()
