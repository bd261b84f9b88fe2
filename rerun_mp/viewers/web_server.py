"""The web viewer over HTTP: `serve_web_viewer`, `start_web_viewer_server`.

A child process, the program `rerun`, serves the web viewer on the loopback interface. Rerun's own functions serve it
from threads of the program, which a forked child does not have, and on all interfaces of the machine. The server ends
with the process that started it, even if that process is killed: a shell between the two reads from the *owner pipe*.
The process has the pipe's writing end, which the kernel closes at the process's end. Forked children close their copies
of it. Any thread may call.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from rerun_mp.errors import InvalidArgumentError, ViewerError
from rerun_mp.hooks.strictness import warn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app_url", "serve_web_viewer", "start_web_viewer_server", "with_source"]

DEFAULT_PORT = 9090
START_SECS = 30.0
"""Maximum seconds until the server listens."""
POLL_SECS = 0.02
"""Seconds between two checks whether the server listens."""
UNUSED_URL = "rerun+http://127.0.0.1:9876/proxy"
"""With an address, `rerun` serves only the web viewer. It does not connect to the address."""

SCRIPT = """
exec 3<&0 </dev/null 4>&2 2>/dev/null
"$@" 2>&4 3<&- 4>&- &
server=$!
exec 4>&-
(cat <&3 >/dev/null; kill "$server") {life}>&- &
exec 3<&-
wait "$server"
"""

_owner_pipes: list[int] = []
"""Writing ends of the pipes that tell servers of this process's end."""
_url: str | None = None
"""The URL of the last server that this process, or a process it was forked from, has started."""


def start_web_viewer_server(port: int = 0) -> str:
    """Serve the web viewer, and nothing else, on the loopback interface until this process ends.

    Parameters
    ----------
    port
        The port of the server; 0 means a free one.

    Returns
    -------
    str
        The server's URL, with the port. Rerun's function returns None.

    Raises
    ------
    InvalidArgumentError
        If `port` is no port.
    ViewerError
        If the server cannot be started, or another program listens on the port.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.start_web_viewer_server()  # doctest: +SKIP
    'http://127.0.0.1:40123'
    """
    global _url
    from rerun_mp.viewers import spawn as viewer

    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 1 << 16:
        raise InvalidArgumentError(f"port is {port!r}; give a number from 0 to 65535, 0 for a free one")
    _url = f"http://{viewer.LOOPBACK}:{_serve(port)}"
    return _url


def serve_web_viewer(*, web_port: int | None = None, open_browser: bool = True, connect_to: str | None = None) -> str:
    """Serve the web viewer on the loopback interface until this process ends, and show it in a browser.

    This sets no sink. To show a recording, pass the URL that `serve_grpc` returns.

    Parameters
    ----------
    web_port
        The port of the server, by default 9090; 0 means a free one.
    open_browser
        Whether to open the viewer in the default browser.
    connect_to
        The URL of the server that the viewer connects to.

    Returns
    -------
    str
        The URL to open in a browser. Rerun's function returns None.

    Raises
    ------
    InvalidArgumentError, ViewerError
        As `start_web_viewer_server`.

    Warns
    -----
    RerunWarning
        If no browser can be opened.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.serve_web_viewer(connect_to=rr.serve_grpc())  # doctest: +SKIP
    """
    url = start_web_viewer_server(DEFAULT_PORT if web_port is None else web_port)
    if connect_to is not None:
        url = with_source(url, connect_to)
    if open_browser and not _open(url):
        warn(f"serve_web_viewer: there is no browser that could be opened here; open {url} yourself.", None)
    return url


def with_source(url: str, source: str) -> str:
    """Return the URL at which the web viewer at `url` shows the recordings of the server at `source`."""
    from urllib.parse import quote

    return f"{url}?url={quote(source, safe='')}"


def app_url(default: Callable[[], str]) -> str:
    """Return the web viewer's URL for notebooks: that of our server if it was started, else `default()`."""
    return _url or default()


def _serve(port: int) -> int:
    """Start a server and return the port on which it listens."""
    from rerun_mp.viewers import spawn as viewer

    command = [viewer.program(), "--serve-web", f"--web-viewer-port={port}", f"--bind={viewer.LOOPBACK}", UNUSED_URL]
    shell, life, owner_pipe = _launch(command)
    try:
        deadline = time.monotonic() + START_SECS
        while time.monotonic() < deadline:
            has_ended = viewer.is_readable(life, POLL_SECS)
            found = _port_of(shell)
            if found is not None:
                _owner_pipes.append(owner_pipe)
                return found
            if has_ended:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(shell, 0)
                where = "a free port" if port == 0 else f"port {port}, where something else may listen,"
                raise ViewerError(f"no web viewer could be served on {where}: {' '.join(command)} has ended")
        raise ViewerError(f"the web viewer's server did not listen within {START_SECS:g} s")
    except BaseException:
        os.close(owner_pipe)
        raise
    finally:
        os.close(life)


def _launch(command: list[str]) -> tuple[int, int, int]:
    """Return the shell's pid, a descriptor that is readable once it has ended, and the owner pipe's writing end."""
    from rerun_mp.viewers import spawn as viewer

    life, held = viewer.life_pipe()
    pipe_reader, owner_pipe = os.pipe()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RERUN_MP_")}
    try:
        shell = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", SCRIPT.format(life=viewer.LIFE_DESCRIPTOR), "sh", *command],
            environment | {"RUST_LOG": "error"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, pipe_reader, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, held, viewer.LIFE_DESCRIPTOR),
            ],
            setpgroup=0,
            setsigmask=[],
        )
    except OSError as error:
        os.close(life)
        os.close(owner_pipe)
        raise ViewerError(f"no web viewer can be served: {error.strerror} (errno {error.errno})") from error
    finally:
        os.close(held)
        os.close(pipe_reader)
    return shell, life, owner_pipe


def _port_of(shell: int) -> int | None:
    """Return the port on which a child of the shell listens, if one does yet."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(shell).children():
            for connection in child.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    return int(connection.laddr.port)
    return None


def _open(url: str) -> bool:
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    import webbrowser

    return webbrowser.open(url)


def _close_owner_pipes() -> None:
    for owner_pipe in _owner_pipes:
        os.close(owner_pipe)
    _owner_pipes.clear()


os.register_at_fork(after_in_child=_close_owner_pipes)
