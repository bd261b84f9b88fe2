"""An interpreter that has imported what collectors need, and forks a guard for a program that asks.

A collector then starts in 0.1 s of processor time instead of 0.5 s. It is what `start_detached` would have started: a
process without a parent, with the same command line, environment, descriptors, signals and operating-system session,
and its worker is its child. What differs: modules are already imported, and no shell ran. Tests of how collectors start
and of how they are replaced ask for the real start (`pytest.mark.real_collectors`).

`fork_collectors` runs in programs and sends the requests. A program whose surroundings (limits, rights, namespaces,
environment) are not this process's has its collector started by the real call.

`main`, called with the arguments DESCRIPTOR and ADDRESS, serves requests at the abstract socket ADDRESS until the other
end of DESCRIPTOR is closed. The module `preloading` is that other end.
"""

from __future__ import annotations

import array
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.harness.lasting_objects import LastingObjects
from tests.harness.process_titles import show

__all__ = ["READ_LATE", "fork_collectors", "main"]

READ_LATE = ("RERUN", "XDG_", "TMPDIR", "PYTEST_", "DISPLAY", "WAYLAND_DISPLAY", "COLUMNS", "HOME", "PATH", "PWD")
"""Prefixes of variables that neither the interpreter nor a preloaded module reads."""
COLLECTOR = ["-P", "-m", "rerun_mp.collector"]
SHELL = ["sh", "-c", '"$@" &', "sh"]
MAX_MESSAGE_BYTES = 1 << 18
FREE_DESCRIPTOR = 64
"""Received descriptors are moved to this number and above, so that none stands where another must go."""
PRELOADED = (
    *("numpy", "pyarrow", "pathlib", "queue", "socket", "urllib.parse", "uuid", "rerun_mp.collector.guard"),
    *("rerun_mp.api.sinks", "rerun_mp.collector.drain.sweep", "rerun_mp.collector.drain.quarantine"),
    *("rerun_mp.collector.reporting.dead_producers", "rerun_mp.collector.reporting.loss_reports"),
    *("rerun_mp.collector.reporting.figure_logger", "rerun_mp.collector.store.drops"),
    *("rerun_mp.collector.newcomers", "rerun_mp.collector.drain.table_chunks", "rerun_mp.collector.store.clock"),
    *("rerun_mp.collector.drain.refusals", "rerun_mp.encoding.rrd_files", "rerun_mp.encoding.log_messages"),
    *("rerun_mp.session.rules", "rerun_mp.session.snapshots", "rerun_mp.viewers.grpc_calls"),
    *("base64", "bz2", "encodings.idna", "lzma", "shlex", "shutil"),
)
"""What a collector imports, without rerun's native part: that starts threads, which no forked process has."""


def fork_collectors(address: str) -> None:
    """Have the server at `address` fork the collectors that this process and its forked children start."""
    start = os.posix_spawn

    def start_or_fork(path: str, arguments: list[str], environment: Mapping[str, str], **options: Any) -> int:
        command = list(arguments[len(SHELL) :])
        is_guard = list(arguments[: len(SHELL)]) == SHELL and command[1:5] == [*COLLECTOR, "guard"]
        pid = _ask(address, command, environment, options["file_actions"]) if is_guard else 0
        return pid or start(path, arguments, environment, **options)

    os.posix_spawn = start_or_fork  # type: ignore[assignment]


def _ask(address: str, command: list[str], environment: Mapping[str, str], actions: Sequence[tuple[Any, ...]]) -> int:
    """Return the process id of the intermediate process, which has ended; 0 if the real call must start the collector.

    Raises
    ------
    OSError
        If an action opens a file and cannot.
    """
    places: dict[int, int] = {}
    opened = []
    try:
        for action, *values in actions:
            if action == os.POSIX_SPAWN_OPEN:
                place, path, flags, mode = values
                places[place] = os.open(path, flags | os.O_CLOEXEC, mode)
                opened.append(places[place])
            else:
                source, place = values
                places[place] = places.get(source, source)
        umask = os.umask(0)
        os.umask(umask)
        request = {
            "command": command,
            "environment": dict(environment),
            "places": list(places),
            "directory": os.getcwd(),
            "umask": umask,
            "surroundings": surroundings(),
        }
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", places.values()))]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            try:
                connection.connect("\0" + address)
                connection.sendmsg([json.dumps(request).encode()], ancillary)
                return int(connection.recv(16) or 0)
            except OSError:  # another network namespace, or the server has ended
                return 0
    finally:
        for descriptor in opened:
            os.close(descriptor)


def surroundings() -> list[str]:
    """Return what a process hands on to those that it starts, apart from descriptors, environment and directory."""
    with open("/proc/self/limits") as limits, open("/proc/self/status") as status, open("/proc/self/cgroup") as cgroup:
        names = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "SigIgn", "Cpus_allowed")
        found = [limits.read(), cgroup.read(), *(line for line in status if line.startswith(names))]
    namespaces = ("mnt", "net", "pid_for_children", "user", "ipc", "uts", "cgroup")
    found += [os.readlink(f"/proc/self/ns/{name}") for name in namespaces]
    found += [os.readlink("/proc/self/root"), str(os.getpriority(os.PRIO_PROCESS, 0))]
    return found


def serve(connection: socket.socket, listener: socket.socket) -> bool:
    """Serve requests until the other end closes the connection. Returns whether this process is a guard."""
    own_environment, own_surroundings = dict(os.environ), surroundings()
    while True:
        readable = select.select([connection, listener], [], [])[0]
        if connection in readable:
            return False
        with listener.accept()[0] as client:
            request, descriptors = _receive(client)
            pid = 0
            if request is not None:
                different = {name for name, _ in own_environment.items() ^ request["environment"].items()}
                is_alike = all(name.startswith(READ_LATE) for name in different)
                if is_alike and request["command"][0] == sys.executable and request["surroundings"] == own_surroundings:
                    pid = os.fork()
                    if pid == 0:
                        # No `with` may close the descriptors again, whose numbers may come to stand for others.
                        for inherited in (client, connection, listener):
                            inherited.detach()
                        os.setsid()
                        if os.fork():
                            os._exit(0)
                        _become_guard(request, descriptors)
                        return True
            for descriptor in descriptors:
                os.close(descriptor)
            if pid:
                os.waitpid(pid, 0)
            try:
                client.send(str(pid).encode())
            except OSError:  # the program has been killed
                pass


def _receive(client: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    descriptors = array.array("i")
    message, ancillary, _, _ = client.recvmsg(MAX_MESSAGE_BYTES, socket.CMSG_LEN(16 * descriptors.itemsize))
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    return (json.loads(message) if message else None), list(descriptors)


def _become_guard(request: dict[str, Any], descriptors: list[int]) -> None:
    """Give this process what the real call would have given the guard."""
    # A shell lets its background jobs ignore these.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    free = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, FREE_DESCRIPTOR) for descriptor in descriptors]
    for place, descriptor in zip(request["places"], free, strict=True):
        os.dup2(descriptor, place)
    _close_all_but(request["places"])
    os.chdir(request["directory"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    _show(request["command"])
    guard = sys.modules["rerun_mp.collector.guard"]
    guard.subprocess = _Subprocess  # type: ignore[attr-defined]


def _close_all_but(places: Sequence[int]) -> None:
    begin = 0
    for end in (*sorted(places), os.sysconf("SC_OPEN_MAX")):
        if begin < end:  # an empty range that begins with 0 would close every descriptor
            os.closerange(begin, end)
        begin = end + 1


def _show(command: Sequence[str]) -> None:
    """Show a command line, in this process and in `/proc`."""
    sys.orig_argv = list(command)
    sys.argv = ["-m", *command[len(COLLECTOR) + 1 :]]
    show(sys.orig_argv, [f"{name}={value}" for name, value in os.environ.items()])


class _Worker:
    """A worker that its guard has forked, as `subprocess.Popen` of the guard's module."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], stdin: int, pass_fds: Sequence[int]) -> None:
        assert stdin == _Subprocess.DEVNULL
        self._pid = os.fork()
        if self._pid == 0:
            os.environ.clear()
            os.environ.update(env)
            _close_all_but([0, 1, 2, *pass_fds])
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            _show(command)
            run()

    def wait(self) -> int:
        """Wait for the end, and return the exit code or the negated number of a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


class _Subprocess:
    """What a guard uses of the module `subprocess`."""

    Popen = _Worker
    DEVNULL = -3


def run() -> None:
    """Do what `python -m rerun_mp.collector` does, and end this process."""
    try:
        runpy.run_module("rerun_mp.collector", run_name="__main__", alter_sys=True)
    except SystemExit:
        raise
    except BaseException:  # noqa: BLE001 (the guard, which this worker is a copy of, must not handle it)
        sys.excepthook(*sys.exc_info())
        sys.exit(1)


def main() -> None:
    """Serve; in a guard's or a worker's process, run that."""
    lasting = LastingObjects()
    connection = socket.socket(fileno=int(sys.argv[1]))
    for name in PRELOADED:
        importlib.import_module(name)
    assert "rerun_bindings" not in sys.modules
    gc.collect()
    lasting.keep()
    gc.freeze()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind("\0" + sys.argv[2])
        listener.listen(64)
        connection.send(b"ready")
        is_guard = serve(connection, listener)
    if is_guard:
        run()
