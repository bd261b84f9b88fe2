"""Starts programs in the preloaded interpreter (`preloaded`), unless the difference would matter to them.

One such interpreter serves the process of the tests. It starts with the first program and ends with that process.
"""

from __future__ import annotations

import array
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rerun_mp.session.collector_start import collector_environment
from tests.harness.preloaded_collector import READ_LATE

__all__ = ["PreloadedProcess", "may_preload", "server_pids", "start_preloaded"]

SERVER = Path(__file__).with_name("preloaded.py")
READ_BY_RERUN = ("RERUN_STRICT",)
"""Variables that rerun reads while it is imported."""
MAX_PATHS_BYTES = 1 << 16
COLLECTORS = "from tests.harness.preloaded_collector import main; main()"


class CollectorServer:
    """The preloaded interpreter that forks collectors (`preloaded_collector`), as the process of the tests sees it."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.address = f"rerun_mp-tests-{secrets.token_hex(8)}"
        # Programs of the preloaded interpreter ask for this environment.
        environment = collector_environment()
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if Path(path).is_dir())
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", COLLECTORS, str(theirs.fileno()), self.address],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self.is_ready = bool(self._connection.recv(16))


class Server:
    """The preloaded interpreter, as the process of the tests sees it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", str(SERVER), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self.environment,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        paths = self._connection.recv(MAX_PATHS_BYTES)
        self.is_ready = bool(paths)
        self.collectors = CollectorServer(json.loads(paths)) if paths else None

    def ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> int:
        """Send a request and return the answer."""
        data = array.array("i", descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, data)] if descriptors else []
        self._connection.sendmsg([json.dumps(request).encode()], ancillary)
        answer = self._connection.recv(64)
        assert answer, "the preloaded interpreter has ended"
        number: int = json.loads(answer)
        return number


_server: Server | None = None


def server_pids() -> list[int]:
    """Return the process ids of the preloaded interpreters; none before the first program."""
    servers = (_server, _server and _server.collectors)
    return [server.process.pid for server in servers if server is not None]


def may_preload(environment: Mapping[str, str]) -> bool:
    """Return whether a program with this environment runs in the preloaded interpreter as it would in its own.

    Starts that interpreter if need be.
    """
    global _server
    if _server is None:
        _server = Server({**os.environ, "PYTHONPATH": environment.get("PYTHONPATH", "")})
    different = {name for name, _ in _server.environment.items() ^ environment.items()}
    return _server.is_ready and all(name.startswith(READ_LATE) and name not in READ_BY_RERUN for name in different)


def start_preloaded(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    *,
    is_leader: bool,
    real_collectors: bool,
) -> PreloadedProcess:
    """Start a program: `arguments` begin with its path. `is_leader` starts a session, otherwise a process group.

    Its collectors are forked from a preloaded interpreter, too, unless it shall start `real_collectors`.

    Only if `may_preload(environment)`.
    """
    assert _server is not None
    umask = os.umask(0)
    os.umask(umask)
    request = {
        "do": "start",
        "arguments": list(arguments),
        "environment": dict(environment),
        "directory": str(Path.cwd()),
        "umask": umask,
        "is_leader": is_leader,
        "collectors": None if real_collectors or _server.collectors is None else _server.collectors.address,
    }
    return PreloadedProcess(_server, _server.ask(request, [stdout.fileno(), stderr.fileno()]))


class PreloadedProcess:
    """A program's process, with those methods of `subprocess.Popen` that tests need."""

    def __init__(self, server: Server, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        # The process stays in the table of processes until `poll` or `wait` has seen its end.
        self._descriptor = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return the exit code, or the negated number of a signal; None while it runs."""
        return self._wait(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Raises
        ------
        subprocess.TimeoutExpired
            If `timeout` seconds pass before.
        """
        code = self._wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """Kill the process. Harmless if it has ended."""
        self.send_signal(signal.SIGKILL)

    def _wait(self, timeout_secs: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            if not poll.poll(None if timeout_secs is None else 1000 * timeout_secs):
                return None
            status = self._server.ask({"do": "wait", "pid": self.pid})
            self.returncode = os.waitstatus_to_exitcode(status)
            os.close(self._descriptor)
        return self.returncode
