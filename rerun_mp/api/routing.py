"""Where recordings go: `save`, `connect_grpc`, `spawn`, `set_sinks`, `disconnect`, `flush`.

Each call replaces the recording's sinks, as in rerun; only `set_sinks` sets several. The session tells the collector,
which opens them. Any thread of any process may call. Sinks that the process sets which founded the session take the
whole recording, those of a child its own rows and its descendants'.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rerun_mp.api.active import active_state, leaves_foreign_to_rerun
from rerun_mp.api.sinks import FileSink, GrpcServerSink, GrpcSink, Sink, StdoutSink
from rerun_mp.errors import InvalidArgumentError, ResourceError, SessionEndedError
from rerun_mp.hooks.strictness import refuse, warn
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
    "abandon",
    "connect_grpc",
    "disconnect",
    "finalize_files",
    "flush",
    "replace_sinks",
    "save",
    "send_blueprint",
    "session_of",
    "set_sinks",
    "spawn",
    "stdout",
    "tell",
]

SERVER_SECS = 10.0
"""How long a call waits for a server that the collector begins."""
FOREVER = 1e9
"""Seconds from which on a timeout is none; rerun's default is 1e38."""


@leaves_foreign_to_rerun
def set_sinks(
    *sinks: Sink,
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
) -> None:
    """Send a recording to several sinks at once, in place of those that it has.

    What this process logged before goes to the old sinks. A stalled one holds up neither the others nor the program.

    Parameters
    ----------
    *sinks
        Different `GrpcSink`, `GrpcServerSink` and `FileSink` objects. None at all is the same as `disconnect`.
    default_blueprint
        How a viewer shows the application by default.
    recording
        By default the active one.

    Raises
    ------
    ValueError
        If two of them are equal.
    InvalidArgumentError
        If one is of another kind.
    ResourceError
        If a file cannot be written.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.set_sinks(rr.GrpcSink(), rr.FileSink("run.rrd"))  # doctest: +SKIP
    """
    duplicates = {sink for sink in sinks if sinks.count(sink) > 1}
    if duplicates:
        raise ValueError(f"Duplicate sinks detected: {', '.join(sorted(map(str, duplicates)))}")
    _check_sinks(sinks)
    state = _enabled_state("set_sinks()", recording)
    if state is not None:
        _replace_sinks(state, sinks, default_blueprint)


@leaves_foreign_to_rerun
def connect_grpc(
    url: str | None = None,
    *,
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
) -> None:
    """Send a recording to the viewer or server at `url`, in place of the sinks that it has. Returns at once.

    A server that is not there yet, stalls or goes away costs the program nothing: it catches up when it comes back.

    Parameters
    ----------
    url
        See `GrpcSink`.
    default_blueprint
        How a viewer shows the application by default.
    recording
        By default the active one.

    Raises
    ------
    InvalidArgumentError
        If it is no such URL.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.connect_grpc("rerun+http://127.0.0.1:9876/proxy")  # doctest: +SKIP
    """
    state = _enabled_state("connect_grpc()", recording)
    if state is not None:
        _replace_sinks(state, (GrpcSink(url),), default_blueprint)


@leaves_foreign_to_rerun
def save(
    path: str | os.PathLike[str],
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
    *,
    write_footer: bool = True,
) -> None:
    """Write a recording to an .rrd file, in place of the sinks that it has.

    The file is complete when the recording is disconnected, or when the last process of the session has ended.

    Parameters
    ----------
    path
        Where; an existing file is overwritten.
    default_blueprint
        How a viewer shows the application by default.
    recording
        By default the active one.
    write_footer
        Whether the file ends in a list of its chunks, which readers need for random access.

    Raises
    ------
    ResourceError
        If the file cannot be written there.
    TypeError
        In strict mode, if `path` is no path; otherwise a warning says so and the sinks stay.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.save("run.rrd")  # doctest: +SKIP
    """
    state = _enabled_state("save()", recording, " You must call rerun.init before saving a recording.")
    if state is None:
        return
    try:
        sink = FileSink(path, write_footer=write_footer)
    except TypeError as error:
        refuse("save", error, recording)
        return
    _replace_sinks(state, (sink,), default_blueprint)


@leaves_foreign_to_rerun
def spawn(
    *,
    port: int = 9876,
    connect: bool = True,
    memory_limit: str = "75%",
    server_memory_limit: str = "1GiB",
    hide_welcome_screen: bool = False,
    detach_process: bool = True,
    executable_name: str = "rerun",
    executable_path: str | None = None,
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
    headless: bool = False,
) -> None:
    """Start a viewer and, unless `connect` is False, send the recording to it. Waits until the viewer listens.

    It listens on the loopback interface only.

    Parameters
    ----------
    port
        Where the viewer listens. If a viewer listens there already, it is used.
    connect
        Whether to send the recording to the viewer, in place of the sinks that it has.
    memory_limit, server_memory_limit
        How much memory the viewer, and the server in it, may use, such as "16GB" or "50%".
    hide_welcome_screen
        Whether to go without the welcome screen.
    detach_process
        Whether neither this program's end nor Ctrl-C nor the terminal's end concerns the viewer.
    executable_name, executable_path
        Which program; by default the `rerun` that came with rerun-sdk.
    default_blueprint
        How a viewer shows the application by default.
    recording
        By default the active one.
    headless
        Whether to go without a window. It then still takes data, answers queries and makes screenshots. Not in rerun.

    Raises
    ------
    ViewerError
        If something else listens on the port, or the viewer cannot be started. The sinks stay.
    InvalidArgumentError
        If it is no port.

    Warns
    -----
    RerunWarning
        If there is no display for a window: nothing is started, and the sinks stay. If the viewer takes very long to
        start: what is logged waits for it.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.spawn(headless=True)  # doctest: +SKIP
    """
    state = _enabled_state("spawn()", recording)
    if state is None:
        return
    from rerun_mp.viewers import spawn as viewer

    if not viewer.is_there(port):
        if not headless and not _has_display():
            warn(
                "spawn: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set), so no viewer was started. "
                "Use spawn(headless=True), save(path), or connect_grpc(url) with a viewer on another machine.",
                recording,
            )
            return
        arguments = [f"--memory-limit={memory_limit}", f"--server-memory-limit={server_memory_limit}"]
        arguments += ["--hide-welcome-screen"] * hide_welcome_screen + ["--headless"] * headless
        executable = viewer.program(executable_name, executable_path)
        if not viewer.start(executable, arguments, port=port, detached=detach_process):
            warn(f"spawn: the viewer does not listen on port {port} yet; what is logged waits for it.", recording)
    if connect:
        _replace_sinks(state, (GrpcSink(f"rerun+http://127.0.0.1:{port}/proxy"),), default_blueprint)


@leaves_foreign_to_rerun
def disconnect(recording: RecordingStream | None = None) -> None:
    """Take away the sinks that this process set for a recording. When it returns, its files are complete.

    What is logged afterwards waits for the next sink.

    Raises
    ------
    FlushTimeoutError
        If the files are not complete in time (RERUN_MP_EXIT_TIMEOUT, 60 s); the collector goes on.
    """
    state = active_state(recording)
    if state is not None and current.session() is not None:
        tell(state, ())


@leaves_foreign_to_rerun
def flush(timeout_sec: float = 1e38, *, recording: RecordingStream | None = None) -> None:  # noqa: ARG001
    """Wait until everything that this process has logged is in the store. Needless for safety: `log` saw to that.

    Parameters
    ----------
    timeout_sec
        Seconds to wait at most. 0: begin, and do not wait.
    recording
        Accepted for rerun's sake: a process's rows are stored in order, whatever their recording.

    Raises
    ------
    FlushTimeoutError
        If it takes longer. The rows are safe nevertheless.
    TypeError
        If `timeout_sec` is no number.
    InvalidArgumentError
        If it is negative or NaN.
    """
    try:
        is_valid = timeout_sec >= 0
    except TypeError:
        raise TypeError(f"argument 'timeout_sec': must be real number, not {type(timeout_sec).__name__}") from None
    if not is_valid:
        raise InvalidArgumentError(f"timeout_sec is {timeout_sec}; give the seconds to wait at most, 0 for no wait")
    joined = current.session()
    if joined is None:
        return
    if timeout_sec == 0:
        joined.seal()
    else:
        joined.flush(None if timeout_sec >= FOREVER else timeout_sec)


def finalize_files(state: RecordingState) -> None:
    """Store this process's rows, and complete the files that it set; what is logged later is added to them."""
    joined = current.session()
    if joined is None:
        return
    if any(sink.kind == "file" for sink in state.sinks):
        sink_changes.checkpoint(joined, state.key)
    else:
        joined.flush(joined.settings.exit_timeout)


def abandon(state: RecordingState) -> None:
    """Complete the files of a recording of which this process has no handle any more. For a destructor."""
    joined = current.session()
    # If it is in the middle of an edit, they are complete when the session has ended.
    if (
        joined is not None
        and not joined.config_editor.is_editing()
        and any(sink.kind == "file" for sink in state.sinks)
    ):
        sink_changes.checkpoint(joined, state.key)


def replace_sinks(recording: RecordingStream | None, sinks: tuple[Sink, ...], storage: Any) -> None:
    """Replace a recording's sinks; `storage` is rerun's, of a default blueprint, or None."""
    state = active_state(recording)
    assert state is not None
    _check_sinks(sinks)
    _tell_sinks(state, sinks, None if storage is None else _encoded(storage))


def stdout(recording: RecordingStream | None, storage: Any, *, write_footer: bool) -> None:
    """Write a recording to this process's standard output, unless that is a terminal."""
    sys.stdout.flush()
    if os.isatty(1):
        warn("stdout: the standard output is a terminal; it shows no recording, and the sinks stay.", recording)
        return
    replace_sinks(recording, (StdoutSink(write_footer=write_footer),), storage)


def send_blueprint(recording: RecordingStream | None, storage: Any, *, make_active: bool, make_default: bool) -> None:
    """Send a blueprint, in rerun's `storage`, to all sinks of a recording, whoever set them."""
    from rerun_mp.session.config import Blueprint

    state = active_state(recording)
    assert state is not None
    sink_changes.send_blueprint(session_of(state), state.key, Blueprint(_encoded(storage), make_active, make_default))


def _replace_sinks(state: RecordingState, sinks: Iterable[Sink], default_blueprint: BlueprintLike | None) -> None:
    blueprint = None if default_blueprint is None else _encoded_blueprint(state.key.application_id, default_blueprint)
    _tell_sinks(state, sinks, blueprint)


def _tell_sinks(state: RecordingState, sinks: Iterable[Sink], blueprint: str | None) -> None:
    given = list(sinks)
    specs = tuple(sink.spec(blueprint) for sink in given)
    known = {spec.target for spec in state.sinks}
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
    tell(state, specs)
    for server in servers:
        # Whoever is told the address may use it at once.
        if not wait_until(server.listens, SERVER_SECS, meanwhile=session_of(state).watch_collector):
            warn(f"the server at {server.uri} does not listen yet; the collector goes on trying.", None)


def _check_sinks(sinks: Iterable[object]) -> None:
    for sink in sinks:
        if not isinstance(sink, Sink):
            raise InvalidArgumentError(
                f"{type(sink).__module__}.{type(sink).__name__} is no sink that the collector can open; give "
                "rerun_mp.GrpcSink, rerun_mp.GrpcServerSink and rerun_mp.FileSink objects"
            )


def tell(state: RecordingState, specs: tuple[SinkSpec, ...]) -> None:
    """Have a recording go to these sinks, in place of those that this process set before."""
    sink_changes.set_sinks(session_of(state), state.key, specs)
    state.sinks = specs


def session_of(state: RecordingState) -> Session:
    """Return the session, which a recording needs that is to go anywhere.

    Raises
    ------
    SessionEndedError
        If it has ended.
    """
    joined = current.session()
    if joined is None:
        raise SessionEndedError(
            f"the session of recording {state.key.recording_id!r} has ended; call rerun_mp.init() again"
        )
    return joined


def _encoded_blueprint(application_id: str, blueprint: BlueprintLike) -> str:
    from rerun.blueprint.api import create_in_memory_blueprint

    return _encoded(create_in_memory_blueprint(application_id=application_id, blueprint=blueprint).storage)


def _encoded(storage: Any) -> str:
    from base64 import b64encode

    return b64encode(storage.concat_as_bytes()).decode()


def _enabled_state(call: str, recording: RecordingStream | None, advice: str = "") -> RecordingState | None:
    state = active_state(recording)
    if state is None:
        import logging

        logging.warning(  # noqa: LOG015 (where rerun says it)
            f"Rerun is disabled - {call} call ignored.{advice}"
        )
    return state


def _has_display() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
