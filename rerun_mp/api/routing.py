"""Where recordings go: `save`, `connect_grpc`, `spawn`, `set_sinks`, `disconnect`, `flush`.

As in rerun, each call replaces the recording's sinks; only `set_sinks` sets several. The session's configuration tells
the collector, which opens them. Any thread of any process may call. The founder's sinks take the whole recording; a
child's sinks take its own rows and those of its descendants.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rerun_mp.api.active import active_state, leaves_foreign_to_rerun
from rerun_mp.api.sink_setting import check_sinks, configure_sinks, replace_sinks
from rerun_mp.api.sinks import FileSink, GrpcSink, Sink
from rerun_mp.errors import InvalidArgumentError
from rerun_mp.hooks.strictness import refuse, warn
from rerun_mp.session import current

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rerun import RecordingStream
    from rerun.blueprint import BlueprintLike

    from rerun_mp.api.state import RecordingState
    from rerun_mp.session.config import FileMode
    from rerun_mp.session.rotation import Rotation
    from rerun_mp.session.rules import Rule

__all__ = ["connect_grpc", "disconnect", "flush", "save", "set_sinks", "spawn"]

NO_TIMEOUT_SECS = 1e9
"""A timeout of at least so many seconds means none; rerun's default is 1e38."""


@leaves_foreign_to_rerun
def set_sinks(
    *sinks: Sink,
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
) -> None:
    """Send a recording to several sinks at once, in place of its current ones.

    Earlier rows of this process go to the old sinks. A stalled sink delays neither the others nor the program.

    Parameters
    ----------
    *sinks
        Different `GrpcSink`, `GrpcServerSink` and `FileSink` objects. A call without sinks is the same as `disconnect`.
    default_blueprint
        How a viewer shows the application by default.
    recording
        By default the active one.

    Raises
    ------
    ValueError
        If two sinks are equal.
    InvalidArgumentError
        If an argument is no sink.
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
    check_sinks(sinks)
    state = _enabled_state("set_sinks()", recording)
    if state is not None:
        replace_sinks(state, sinks, default_blueprint)


@leaves_foreign_to_rerun
def connect_grpc(
    url: str | None = None,
    *,
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
) -> None:
    """Send a recording to the viewer or server at `url`, in place of its current sinks. Returns at once.

    The server need not listen yet. It may stall or go away without delaying the program, and catches up later.

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
        If `url` is no such URL.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.connect_grpc("rerun+http://127.0.0.1:9876/proxy")  # doctest: +SKIP
    """
    state = _enabled_state("connect_grpc()", recording)
    if state is not None:
        replace_sinks(state, (GrpcSink(url),), default_blueprint)


@leaves_foreign_to_rerun
def save(
    path: str | os.PathLike[str],
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
    *,
    write_footer: bool = True,
    rotate: Rotation | None = None,
    mode: FileMode = "new",
    rules: Iterable[Rule] | None = None,
) -> None:
    """Write a recording to an .rrd file, in place of its current sinks.

    The file is complete after `disconnect`, or when the last process of the session has ended.

    Parameters
    ----------
    path
        The path of the file. An existing file is overwritten, unless `mode` says otherwise.
    default_blueprint
        How a viewer shows the application by default.
    recording
        By default the active one.
    write_footer
        Whether the file ends with a list of its chunks, which readers need for random access.
    rotate
        When the file ends and the next part begins, see `FileSink`. Rerun lacks this.
    mode
        "new", "append" to a file or "resume" its recording, see `FileSink`. Rerun lacks this.
    rules
        `Rule`s that leave rows out of the file, see `FileSink`. Rerun lacks this.

    Raises
    ------
    ResourceError
        If the file cannot be written there, or added to.
    InvalidArgumentError
        If `mode` is none of these, a rule changes images, or the file holds no recording that can go on.
    TypeError
        In strict mode, if `path` is no path, or `rotate` no `Rotation`. Otherwise the call warns, and the sinks stay.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.save("run.rrd")  # doctest: +SKIP
    """
    state = _enabled_state("save()", recording, " You must call rerun.init before saving a recording.")
    if state is None:
        return
    try:
        sink = FileSink(path, write_footer=write_footer, rotate=rotate, mode=mode, rules=rules)
    except TypeError as error:
        refuse("save", error, recording)
        return
    replace_sinks(state, (sink,), default_blueprint)


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

    The viewer listens on the loopback interface only.

    Parameters
    ----------
    port
        The port of the viewer. If a viewer listens there already, the call uses that one.
    connect
        Whether to send the recording to the viewer, in place of its current sinks.
    memory_limit, server_memory_limit
        Maximum memory of the viewer, and of the server in it, such as "16GB" or "50%".
    hide_welcome_screen
        Whether to hide the welcome screen.
    detach_process
        Whether the viewer survives the end of this program, Ctrl-C, and the end of the terminal.
    executable_name, executable_path
        The program to start; by default the `rerun` of rerun-sdk.
    default_blueprint
        How a viewer shows the application by default.
    recording
        By default the active one.
    headless
        Whether the viewer has no window. It still takes data, answers queries and makes screenshots. Rerun lacks this.

    Raises
    ------
    ViewerError
        If another program listens on the port, or the viewer cannot be started. The sinks stay.
    InvalidArgumentError
        If `port` is no port.

    Warns
    -----
    RerunWarning
        If there is no display for a window: the call starts nothing, and the sinks stay. If the viewer takes very long
        to start: rows wait for it.

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
        replace_sinks(state, (GrpcSink(f"rerun+http://127.0.0.1:{port}/proxy"),), default_blueprint)


@leaves_foreign_to_rerun
def disconnect(recording: RecordingStream | None = None) -> None:
    """Remove the sinks that this process has set for a recording. When the call returns, its files are complete.

    Later rows wait for the next sink.

    Raises
    ------
    FlushTimeoutError
        If the files are not complete in time (RERUN_MP_EXIT_TIMEOUT, 60 s). The collector continues.
    """
    state = active_state(recording)
    if state is not None and current.session() is not None:
        configure_sinks(state, ())


@leaves_foreign_to_rerun
def flush(timeout_sec: float = 1e38, *, recording: RecordingStream | None = None) -> None:  # noqa: ARG001
    """Wait until all rows that this process has logged are in the store. Rows are safe without it.

    Parameters
    ----------
    timeout_sec
        Maximum seconds to wait. 0: start the flush and return.
    recording
        Ignored; rerun has this parameter. The collector stores a process's rows in order, whatever their recording.

    Raises
    ------
    FlushTimeoutError
        If the flush takes longer, or, without a timeout, if no collector could be started for five seconds. The rows
        are still safe.
    TypeError
        If `timeout_sec` is no number.
    InvalidArgumentError
        If `timeout_sec` is negative or NaN.
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
        joined.flush(None if timeout_sec >= NO_TIMEOUT_SECS else timeout_sec)


def _enabled_state(call: str, recording: RecordingStream | None, advice: str = "") -> RecordingState | None:
    state = active_state(recording)
    if state is None:
        import logging

        logging.warning(  # noqa: LOG015 (rerun uses the root logger, too)
            f"Rerun is disabled - {call} call ignored.{advice}"
        )
    return state


def _has_display() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
