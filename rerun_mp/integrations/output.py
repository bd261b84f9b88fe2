"""Standard output and standard error of a program and of all that it starts, as `TextLog`, also of code in C.

`capture_output` puts two sockets in place of the descriptors 1 and 2. Children inherit them, so no child has to do
anything, and no fork needs a hook or a thread. The kernel names the writer of each piece. A process of its own, the
output reader (`output_reader`), logs each line and passes all bytes on to where they went before. So the lines of a
killed worker are complete up to its last write.

Any thread may call.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import socket
import sys
from typing import TYPE_CHECKING

import rerun_mp as rr
from rerun_mp.errors import ResourceError
from rerun_mp.integrations.launchers import environment
from rerun_mp.integrations.output_reader import CONTINUES, FIRST_DESCRIPTOR, READY, STOP
from rerun_mp.protection import is_protected

if TYPE_CHECKING:
    from types import TracebackType

    from rerun_mp.hooks.detached import FileAction

__all__ = ["OutputCapture", "capture_output"]

VARIABLE = "RERUN_MP_OUTPUT"
"""Names the captured sockets to children, by their inodes: a child that is started anew finds that it is captured."""
START_SECS = 20.0
"""Maximum seconds that the reader takes to start."""
STOP_SECS = 20.0
"""Maximum seconds that the reader takes to log what it has got."""
LINE_BUFFERED = 1
"""The mode of setvbuf(3): glibc's and musl's `_IOLBF`."""

_capture: OutputCapture | None = None
"""The capture of this process. A forked child inherits it, and never stops it."""


class OutputCapture:
    """The captured output of this process and its children. Use it as a context manager, or call `stop`."""

    def __init__(self, control: socket.socket | None, saved: dict[int, int]) -> None:
        self._control = control
        self._saved = saved
        self._pid = os.getpid()

    def stop(self) -> None:
        """Write to where this process's output went before, and wait until what it has written is logged.

        Children that run go on being captured. In a forked child the call does nothing. Called at the exit at the
        latest.
        """
        global _capture
        if self._control is None or _capture is not self or self._pid != os.getpid():
            return
        _capture = None
        _flush()
        for number, before in self._saved.items():
            os.dup2(before, number)
            os.close(before)
        os.environ.pop(VARIABLE, None)
        with self._control, contextlib.suppress(OSError):
            self._control.settimeout(STOP_SECS)
            self._control.sendall(STOP)
            # If no other process writes, the reader ends, which closes the socket.
            while self._control.recv(1) not in (CONTINUES, b""):
                pass

    def __enter__(self) -> OutputCapture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()


def capture_output(entity_path: str = "output") -> OutputCapture:
    """Log what this process and its children write to standard output and standard error, line by line.

    A line of process 123 goes to `output/123/stdout` or `output/123/stderr`, with level INFO or WARN. The bytes also go
    where they went before. Forked, spawned and other children are captured, too; spawned ones call this function again
    if their lines must not wait in Python's buffer. The descriptors are sockets then: `isatty` says no, and
    `open("/dev/stdout")` fails.

    Parameters
    ----------
    entity_path
        The part before the process id. It counts in the first call.

    Returns
    -------
    OutputCapture
        Stops the capture. It stops nothing if another process has begun the capture, if logging is disabled, or where
        rerun_mp is plain rerun: in the last two cases nothing is captured.

    Raises
    ------
    SessionError
        If this process is in no session; call `rerun_mp.init` first.
    ResourceError
        If the reader cannot be started.

    Examples
    --------
    >>> capture_output()  # doctest: +SKIP
    """
    global _capture
    if not is_protected() or not rr.is_enabled():
        return OutputCapture(None, {})
    if _is_captured():
        _buffer_lines()
        return _capture or OutputCapture(None, {})
    streams = {number: socket.socketpair() for number in (1, 2) if _is_open(number)}
    control, its_control = socket.socketpair()
    for reading_end, _ in streams.values():
        reading_end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    try:
        _start_reader(entity_path, {number: pair[0] for number, pair in streams.items()}, its_control)
        its_control.close()
        if not _is_ready(control):
            raise ResourceError(
                f"the process that reads the output did not start within {START_SECS:g} s. Its error is above, if it "
                "had one. Nothing is captured."
            )
        _flush()
        saved = {number: _copy(number, FIRST_DESCRIPTOR) for number in streams}
        for number, (_, writer) in streams.items():
            os.dup2(writer.fileno(), number)
    except BaseException:
        control.close()
        raise
    finally:
        its_control.close()
        for pair in streams.values():
            for end in pair:
                end.close()
    os.environ[VARIABLE] = _inodes()
    _capture = OutputCapture(control, saved)
    _buffer_lines()
    atexit.register(_stop_at_exit, _capture)
    return _capture


def _start_reader(entity_path: str, ends: dict[int, socket.socket], control: socket.socket) -> None:

    from rerun_mp.hooks.detached import start_detached
    from rerun_mp.hooks.interpreters import python_command
    from rerun_mp.session.collector_start import collector_environment

    # The targets of the file actions must not be among their sources.
    copies = [_copy(end.fileno(), FIRST_DESCRIPTOR + 8) for end in (control, *ends.values())]
    actions: list[FileAction] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, copy, FIRST_DESCRIPTOR + place) for place, copy in enumerate(copies)]
    try:
        command = [*python_command("rerun_mp.integrations.output_reader"), entity_path, *map(str, ends)]
        start_detached(command, {**collector_environment(), **environment()}, actions)
    except OSError as error:
        raise ResourceError(
            f"the process that reads the output cannot be started: {error.strerror}. Nothing is captured."
        ) from error
    finally:
        for copy in copies:
            os.close(copy)


def _is_ready(control: socket.socket) -> bool:
    control.settimeout(START_SECS)
    try:
        return control.recv(1) == READY
    except TimeoutError:
        return False


def _copy(number: int, minimum: int) -> int:
    """Return a copy of a descriptor, with a number of at least `minimum`."""
    import fcntl

    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, minimum)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _inodes() -> str:
    return ",".join(str(os.fstat(number).st_ino) for number in (1, 2) if _is_open(number))


def _is_captured() -> bool:
    return os.environ.get(VARIABLE) == _inodes()


def _buffer_lines() -> None:
    """Have Python and C write at the end of each line, as on a terminal."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    with contextlib.suppress(AttributeError, ValueError, OSError):
        library = ctypes.CDLL(None)
        library.setvbuf(ctypes.c_void_p.in_dll(library, "stdout"), None, LINE_BUFFERED, 0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).fflush(None)


def _stop_at_exit(capture: OutputCapture) -> None:
    """Stop after multiprocessing has ended its children, and before this process leaves its session."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not util._exiting:
        util.Finalize(None, capture.stop, exitpriority=-99)
    else:
        capture.stop()
