"""`rerun-mp run`: run a program and all its children in one session, which this process founds.

The program finds the session in its environment. In its Python interpreters, `startup/sitecustomize.py` makes code that
says `import rerun` log into the session, too. Every recording goes to the sinks of the command line, besides the sinks
that the program sets.

Signals: the terminal sends Ctrl-C to the program itself, and this process ignores it; it passes SIGTERM and SIGHUP on.
After the program's end this process waits, with progress, until all rows are written.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rerun_mp.api.sinks import FileSink, GrpcSink
from rerun_mp.errors import ViewerError
from rerun_mp.monitoring.overview import look_at
from rerun_mp.printable import counted
from rerun_mp.session import current, sink_changes
from rerun_mp.session.leaving import leave
from rerun_mp.session.waiting import wait_until
from rerun_mp.viewers import spawn as viewer
from rerun_mp.viewers import web_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from rerun_mp.session.config import FileMode, SinkSpec
    from rerun_mp.session.session import Session

__all__ = ["Destination", "run", "viewer_sink"]

STARTUP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "startup")
CANNOT_RUN = 126
"""Exit status for a program that cannot be started, as shells have it."""
NOT_FOUND = 127
"""Exit status for a program that does not exist, as shells have it."""
PYTHON = re.compile(r"python[\d.]*(t|-dbg)?|pypy[\d.]*")
ISOLATING = "IES"
"""Flags with which Python does not find `startup/sitecustomize.py`."""
FROZEN_MARK = b"MEI\014\013\012\013\016"
FROZEN_BYTES = 8192
"""PyInstaller's mark, and the bytes at the end of a program that contain it."""
BARE = ("python", "python3")
"""Names of the Python that an environment's activation puts on the PATH."""
ASK_SECS = 20.0
"""Maximum seconds in which a Python says whether it has rerun_mp."""
SERVER_SECS = 30.0
"""Maximum seconds until the web viewer's server listens."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Sinks for every recording. The default has none: only the program's own sinks get its recordings."""

    save: str | None = None
    """Path of an .rrd file. Further recordings get names that are made from it."""
    viewer: bool = False
    serve: bool = False
    headless: bool = False
    mode: FileMode = "new"
    """What becomes of a file that lies at the path `save`."""


def run(command: Sequence[str], destination: Destination) -> int:
    """Run a program, wait until its rows are written, and return its exit code as a shell does (128 + signal).

    Raises
    ------
    RerunMpError
        If the session or a sink cannot be created. The program has not been started.
    """
    command = _with_own_python(command)
    if shutil.which(command[0]) is None:
        sys.stderr.write(f"rerun-mp: there is no program {command[0]!r} on the PATH; give its path\n")
        return NOT_FOUND
    os.environ.pop("RERUN_MP_SESSION", None)
    os.environ.pop("RERUN_MP_SCOPE", None)
    with contextlib.ExitStack() as stack:
        sinks = []
        if destination.save is not None:
            sinks.append(FileSink(destination.save, mode=destination.mode).spec(None))
        if destination.viewer:
            sinks.append(viewer_sink(headless=destination.headless))
        if destination.serve:
            sinks.append(stack.enter_context(_server()))
        for problem in _problems(command, has_sinks=bool(sinks)):
            sys.stderr.write(f"rerun-mp: {problem}\n")
        joined = current.found_or_join()
        sink_changes.set_default_sinks(joined, sinks)
        code = _run(command)
        _leave(joined)
        if destination.serve and sys.stdin is not None and sys.stdin.isatty():
            sys.stderr.write("rerun-mp: still serving; press Ctrl-C to end\n")
            with contextlib.suppress(KeyboardInterrupt):
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.pause()
    return code


def _with_own_python(command: Sequence[str]) -> Sequence[str]:
    """Return the command with this program's Python in place of a bare `python` that is missing or lacks rerun_mp.

    A user who has not activated the environment of `rerun-mp` means this Python. The function prints that it replaces
    one.
    """
    found = shutil.which(command[0])
    if command[0] not in BARE or (found is not None and _has_rerun_mp(found)):
        return command
    what = f"{found} has no rerun_mp" if found is not None else f"there is no {command[0]} on the PATH"
    sys.stderr.write(f"rerun-mp: {what}; {sys.executable} runs in its place. Give a path to choose another Python\n")
    return [sys.executable, *command[1:]]


def _has_rerun_mp(python: str) -> bool:
    """Ask a Python whether it finds rerun_mp, unless it lies in this program's environment."""
    if os.path.dirname(os.path.abspath(python)) == os.path.dirname(os.path.abspath(sys.executable)):
        return True
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('rerun_mp') is None)"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([python, "-c", code], check=False, capture_output=True, timeout=ASK_SECS)
        return done.returncode == 0
    return False


def _problems(command: Sequence[str], *, has_sinks: bool) -> Iterator[str]:
    """Yield one sentence for each thing that the command will not do."""
    if not has_sinks:
        yield (
            "no --save, --viewer or --serve was given, so rows go only where the program itself sends them (save, "
            "connect_grpc, spawn); all other rows are lost"
        )
    name = os.path.basename(command[0])
    if PYTHON.fullmatch(name) is not None:
        isolating = next((flag for flag in _flags(command[1:]) if flag in ISOLATING), None)
        if isolating is not None:
            yield (
                f"with {name} -{isolating}, calls of `import rerun` in this interpreter are not captured, calls of "
                "`import rerun_mp` are: start it without that option"
            )
    elif _is_frozen(shutil.which(command[0])):
        yield (
            f"{name} is a frozen program with a Python of its own. Calls of `import rerun` in it are not captured, "
            "calls of `import rerun_mp` are: run the program from its source"
        )


def _flags(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the letters of the options that Python's command line begins with."""
    remaining = iter(arguments)
    for argument in remaining:
        if not re.fullmatch(r"-[^-].*", argument):
            return
        for at, letter in enumerate(argument[1:], 2):
            if letter in "cm":
                return
            yield letter
            if letter in "XW":
                if at == len(argument):
                    next(remaining, None)
                break


def _is_frozen(path: str | None) -> bool:
    """Return whether PyInstaller has made the program: it ends with PyInstaller's mark."""
    try:
        with open(path or "", "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(-min(file.tell(), FROZEN_BYTES), os.SEEK_END)
            return FROZEN_MARK in file.read()
    except OSError:
        return False


def _run(command: Sequence[str]) -> int:
    environment = dict(os.environ, RERUN_MP_CAPTURE="1")
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{STARTUP}{os.pathsep}{inherited}" if inherited else STARTUP
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        if child is not None:
            child.send_signal(number)

    # The terminal sends SIGINT to the program as well. The program decides whether it ends.
    signal.signal(signal.SIGINT, lambda number, frame: None)  # noqa: ARG005 (a handler's signature)
    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGHUP, pass_on)
    try:
        child = subprocess.Popen(command, env=environment)
    except OSError as error:
        sys.stderr.write(f"rerun-mp: {command[0]} cannot be started: {error.strerror}\n")
        return CANNOT_RUN
    code = child.wait()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return code if code >= 0 else 128 - code


def _leave(joined: Session) -> None:
    """Wait until all rows are written, and print a summary. Processes that outlive the program may go on logging."""
    path = joined.segment.path
    view = look_at(path)
    files = [sink.target for spec in joined.config().recordings for sink in spec.sinks if sink.kind == "file"]
    leave(joined)
    if view is not None:
        writers = sum(1 for process in view.processes if process.logged)
        where = f", in {', '.join(files)}" if files else ""
        if not writers:
            where = "; the program logged nothing with rerun or rerun_mp that could be captured"
        sys.stderr.write(f"rerun-mp: {counted(view.logged, 'row')} from {counted(writers, 'process')}{where}\n")
    remaining = look_at(path)
    if remaining is not None and remaining.participants:
        pids = ", ".join(map(str, remaining.participants))
        sys.stderr.write(f"rerun-mp: processes {pids} are still in the session; its files are complete when they end\n")


def viewer_sink(*, headless: bool) -> SinkSpec:
    """Return a sink for the viewer on this machine. Starts a viewer if none listens."""
    port = 9876
    if not viewer.is_there(port):
        arguments = ["--hide-welcome-screen"] + ["--headless"] * headless
        if not viewer.start(viewer.program(), arguments, port=port, detached=True):
            sys.stderr.write(f"rerun-mp: the viewer does not listen on port {port} yet; rows wait for it\n")
    return GrpcSink(f"rerun+http://{viewer.LOOPBACK}:{port}/proxy").spec(None)


@contextlib.contextmanager
def _server() -> Iterator[SinkSpec]:
    """Serve the web viewer and its data while the block runs."""
    port, web_port = _free_port(), _free_port()
    url = f"rerun+http://{viewer.LOOPBACK}:{port}/proxy"
    command = [viewer.program(), "--serve-web", f"--port={port}", f"--web-viewer-port={web_port}"]
    command.append(f"--bind={viewer.LOOPBACK}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RERUN_MP_")}
    server = subprocess.Popen(
        command, env=environment | {"RUST_LOG": "error"}, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        if not wait_until(lambda: server.poll() is not None or viewer.is_there(port, SERVER_SECS), SERVER_SECS):
            raise ViewerError(f"the web viewer's server did not listen within {SERVER_SECS:g} s")
        if server.poll() is not None:
            raise ViewerError(f"no web viewer could be served: {' '.join(command)} has ended")
        address = web_server.with_source(f"http://{viewer.LOOPBACK}:{web_port}", url)
        sys.stderr.write(f"rerun-mp: open {address}\n")
        yield GrpcSink(url).spec(None)
    finally:
        viewer.end(server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((viewer.LOOPBACK, 0))
        return int(probe.getsockname()[1])
