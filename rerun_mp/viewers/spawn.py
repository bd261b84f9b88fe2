"""Start a viewer, or find one that listens already.

A viewer that rerun's own function starts listens on all interfaces of the machine; ours listens on the loopback
interface. The viewer gets no session key, so the session's end does not wait for it, and a process group of its own. A
detached viewer is no child of this process. Any thread of any process may call.

The viewer inherits the writing end of a pipe. The kernel closes it when the viewer ends, so a process sees the end of a
viewer that is not its child.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING

from rerun_mp.errors import InvalidArgumentError, ViewerError
from rerun_mp.hooks.detached import FileAction, start_detached, without_inheritable
from rerun_mp.viewers.http2 import speaks_http2

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

__all__ = ["LIFE_DESCRIPTOR", "LOOPBACK", "end", "is_readable", "is_there", "life_pipe", "listens", "program", "start"]

LOOPBACK = "127.0.0.1"
CONNECT_SECS = 1.0
"""Maximum seconds for a connection to the viewer's port."""
ANSWER_SECS = 5.0
"""Maximum seconds until a viewer that runs already answers as an HTTP/2 server."""
START_SECS = 20.0
"""Maximum seconds until a new viewer listens, and from then on until it answers."""
POLL_SECS = 0.02
"""Seconds between two checks whether a new viewer listens."""
END_SECS = 5.0
"""Seconds that a server may take to end after SIGTERM."""
LIFE_DESCRIPTOR = 9
"""The descriptor of the pipe's writing end in the viewer."""


def is_there(port: int, answer_secs: float | None = None) -> bool:
    """Return whether a viewer listens on `port` of the loopback interface, as a server that speaks HTTP/2.

    Parameters
    ----------
    port
        The port.
    answer_secs
        Maximum seconds until it answers; None: `ANSWER_SECS`. One that has just started may need longer.

    Raises
    ------
    InvalidArgumentError
        If `port` is no port.
    ViewerError
        If another program listens there.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 1 << 16:
        raise InvalidArgumentError(f"port is {port!r}; give a number from 1 to 65535, such as rerun's own 9876")
    try:
        connection = socket.create_connection((LOOPBACK, port), CONNECT_SECS)
    except OSError:
        return False
    with connection:
        if speaks_http2(connection, ANSWER_SECS if answer_secs is None else answer_secs):
            return True
    raise ViewerError(
        f"port {port} is in use, and the program that listens there does not answer as a viewer does. Choose another "
        "port, as in spawn(port=...), or end that program; if it is a viewer that hangs, end it."
    )


def program(executable_name: str = "rerun", executable_path: str | None = None) -> str:
    """Return the path of the program to start: the given path, else the `rerun` of rerun-sdk, else the one on the PATH.

    The native program of rerun-sdk comes before the script of the same name on the PATH, which only wraps it. As for
    that script, RERUN_CLI_PATH names another program.

    Raises
    ------
    ViewerError
        If there is no such program, or this user may not run it.
    """
    if executable_path is not None:
        path = os.fsdecode(executable_path)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
        raise ViewerError(f"executable_path is {path!r}, and there is no program that this user may run")
    if executable_name == "rerun":
        path = os.environ.get("RERUN_CLI_PATH") or _bundled()
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    import shutil

    found = shutil.which(executable_name)
    if found is None:
        raise ViewerError(
            f"there is no viewer program {executable_name!r} on the PATH ({os.environ.get('PATH', '')}). Install "
            "rerun-sdk, which brings `rerun`, or give spawn(executable_path=...)."
        )
    return os.path.abspath(found)


def start(executable: str, arguments: Sequence[str], *, port: int, detached: bool) -> bool:
    """Start a viewer that listens on `port` of the loopback interface, and wait until it does.

    Parameters
    ----------
    executable
        The program, as `program` returns it.
    arguments
        Further arguments of the program.
    port
        The port of the viewer. No other program must listen there.
    detached
        Whether the viewer survives the end of this program, Ctrl-C, and the end of the terminal: it is then no child of
        this process and has an operating-system session of its own. Otherwise it is a child, and Ctrl-C ends both.

    Returns
    -------
    bool
        Whether the viewer listens. If not, `START_SECS` have passed, and it is still starting.

    Raises
    ------
    ViewerError
        If the viewer cannot be started, or ends before it listens.
    """
    command = [executable, f"--port={port}", f"--bind={LOOPBACK}", "--expect-data-soon", *arguments]
    life = _launch(command, detached=detached)
    try:
        deadline = time.monotonic() + START_SECS
        while time.monotonic() < deadline:
            has_ended = is_readable(life, POLL_SECS)
            if listens(port):
                return is_there(port, START_SECS)
            if has_ended:
                raise ViewerError(
                    f"the viewer ended before it listened on port {port}; its standard error says why. "
                    f"It was started as {' '.join(command)}. Without a window it needs a Vulkan adapter (Debian: "
                    "mesa-vulkan-drivers has one in software)."
                )
        return False
    finally:
        os.close(life)


def is_readable(descriptor: int, timeout: float) -> bool:
    """Wait at most `timeout` seconds until a descriptor of any number is readable. `select` takes none above 1023.

    The life pipe of a viewer is readable when the viewer has ended.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * timeout))


def end(server: subprocess.Popen[bytes]) -> None:
    """End a server: by SIGTERM, or by SIGKILL if it does not react, because it is stopped or hangs."""
    import subprocess  # a program that shows a viewer need not load it

    server.terminate()
    try:
        server.wait(END_SECS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def life_pipe() -> tuple[int, int]:
    """Return the reading and the writing end of a pipe; the writing end's number is above `LIFE_DESCRIPTOR`.

    Raises
    ------
    ViewerError
        If the process has no descriptors left.
    """
    reader = writer = -1
    try:
        reader, writer = os.pipe()
        return reader, fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, LIFE_DESCRIPTOR + 1)
    except OSError as error:
        if reader >= 0:
            os.close(reader)
        raise ViewerError(f"no viewer can be started: {error.strerror} (errno {error.errno})") from error
    finally:
        if writer >= 0:
            os.close(writer)


def _launch(command: list[str], *, detached: bool) -> int:
    """Start a viewer, and return the reading end of the pipe that the kernel closes when the viewer ends."""
    reader, writer = life_pipe()
    try:
        actions: list[FileAction] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writer, LIFE_DESCRIPTOR),
        ]
        if detached:
            start_detached(command, _environment(), actions)
        else:
            os.posix_spawn(
                command[0],
                command,
                _environment(),
                file_actions=without_inheritable(actions),
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGQUIT],
            )
    except OSError as error:
        os.close(reader)
        raise ViewerError(
            f"the viewer {command[0]} cannot be started: {error.strerror} (errno {error.errno})"
        ) from error
    finally:
        os.close(writer)
    return reader


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RERUN_MP_")}
    # As rerun does: the viewer then does not ask about analytics.
    environment["RERUN_APP_ONLY"] = "true"
    return environment


def _bundled() -> str:
    from importlib.util import find_spec

    spec = find_spec("rerun_cli")
    origin = spec.origin if spec is not None else None
    return os.path.join(os.path.dirname(origin), "rerun") if origin else ""


def listens(port: int, address: str = LOOPBACK) -> bool:
    """Return whether a program listens on a port of this machine."""
    try:
        with socket.create_connection((address, port), CONNECT_SECS):
            return True
    except OSError:
        return False
