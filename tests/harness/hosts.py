"""Hosts on one machine: namespaces of their own for network, processes, files, names and shared memory.

    switch: a network namespace with a bridge
       │ link of host 1        │ link of host 2
    host 1: 10.77.0.1       host 2: 10.77.0.2        /dev/shm, home, runtime directory and host name of its own each

A link that is cut drops every packet, as a pulled cable does. A host that is killed ends at once, with all processes
and its shared memory; its files stay, and it can boot again. All other files are those of the machine.

As a program: `hosts.py NAMES` is the first process of a host. It needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

__all__ = ["NETWORK", "Host", "HostProgram", "hosts", "hosts_missing"]

NETWORK = "10.77.0"
"""First three bytes of the hosts' addresses."""
UNSHARE = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
ROOT = Path(__file__).resolve().parents[2]
PROGRAM_SECS = 120.0
"""Seconds that a program may take."""


@cache
def hosts_missing() -> str | None:
    """Return what this machine lacks to make hosts; None if it lacks nothing."""
    if os.geteuid() != 0:
        return "root"
    try:
        tried = [*UNSHARE, "ip", "link", "add", "test", "type", "bridge"]
        return None if subprocess.run(tried, check=False, capture_output=True).returncode == 0 else "namespaces"
    except FileNotFoundError:
        return "unshare and ip of iproute2"


class HostProgram:
    """A program on a host. Its output goes to files."""

    def __init__(self, command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        directory.mkdir()
        self.directory = directory
        with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment, process_group=0
            )

    @property
    def stdout(self) -> str:
        """Its standard output so far."""
        return (self.directory / "stdout").read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        """Its standard error so far."""
        return (self.directory / "stderr").read_text(encoding="utf-8", errors="replace")

    def wait(self, timeout_secs: float = PROGRAM_SECS) -> int:
        """Wait for its end, and return its exit status."""
        return self.process.wait(timeout_secs)

    def check(self) -> HostProgram:
        """Wait for its end, and return self if it ended with 0.

        Raises
        ------
        AssertionError
            Otherwise, with the program's output.
        """
        code = self.wait()
        assert code == 0, f"the program ended with {code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
        return self


class Host:
    """A host. `place` holds its home and its other directories."""

    def __init__(self, number: int, place: Path, switch: int, names: Path) -> None:
        self.name = f"host{number}"
        self.address = f"{NETWORK}.{number}"
        self.place = place / self.name
        self._number = number
        self._switch = switch
        self._names = names
        self._programs: list[HostProgram] = []
        for name in ("home", "runtime", "tmp"):
            (self.place / name).mkdir(parents=True, mode=0o700)
        self.boot()

    def boot(self) -> None:
        """Start the host, or start it again after it was killed."""
        with (self.place / "boot").open("ab") as stderr:
            self._process = subprocess.Popen(
                [*UNSHARE, sys.executable, "-S", __file__, self.name, str(self._names)],
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), f"{self.name} did not start"
        # `unshare` has one child, the first process of the host.
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        self._first = int(children.split()[0])
        _in_network(self._switch, f"link add link{self._number} type veth peer name eth0 netns {self._first}")
        _in_network(self._switch, f"link set link{self._number} master bridge up")
        _in_network(self._first, f"address add {self.address}/24 dev eth0")
        _in_network(self._first, "link set lo up")
        _in_network(self._first, "link set eth0 up")

    def start(self, *command: str | Path, env: Mapping[str, str] | None = None) -> HostProgram:
        """Start a program on the host. A first argument that ends with .py is run by the interpreter of the tests."""
        if str(command[0]).endswith(".py"):
            command = (sys.executable, "-X", "faulthandler", *command)
        environment = {**os.environ, **self._environment(), **(env or {})}
        started = HostProgram(
            [*self._enter(), *map(str, command)], self.place / f"program{len(self._programs)}", environment
        )
        self._programs.append(started)
        return started

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self._first}", "--mount", "--uts", "--ipc", "--net", "--pid", "--wd=/"]

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.place / "home"),
            "XDG_RUNTIME_DIR": str(self.place / "runtime"),
            "XDG_CACHE_HOME": str(self.place / "home/.cache"),
            "XDG_DATA_HOME": str(self.place / "home/.local/share"),
            "TMPDIR": str(self.place / "tmp"),
            "PYTHONPATH": str(ROOT),
            "RUST_LOG": "error",
        }

    def cut(self) -> None:
        """Cut the host's link. Packets are lost until `restore`."""
        _in_network(self._switch, f"link set link{self._number} down")

    def restore(self) -> None:
        """Restore the host's link."""
        _in_network(self._switch, f"link set link{self._number} up")

    def processes(self, text: str) -> list[int]:
        """Return the ids, on this machine, of the host's processes with `text` in their command line."""
        found = []
        own = os.readlink(f"/proc/{self._first}/ns/pid")
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid = int(entry.name)
                if text in (entry / "cmdline").read_text().replace("\0", " ") and os.readlink(entry / "ns/pid") == own:
                    found.append(pid)
        return found

    def kill(self) -> None:
        """Kill the host: all of its processes at once. Harmless if it is dead."""
        for program in self._programs:
            program.process.send_signal(signal.SIGCONT)  # `nsenter` stops itself when its child is stopped
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._first, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(subprocess.CalledProcessError):  # the kernel removes it, too, some time later
            _in_network(self._switch, f"link delete link{self._number}")
        if self._process.stdout is not None:
            self._process.stdout.close()
        for program in self._programs:
            program.wait()


@contextlib.contextmanager
def hosts(count: int, place: Path) -> Iterator[list[Host]]:
    """Make hosts that reach each other. At the end they are killed."""
    with contextlib.ExitStack() as stack:
        switch = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.enter_context(switch)
        stack.callback(switch.kill)
        assert switch.stdin is not None
        assert switch.stdout is not None
        switch.stdin.write(b"ready\n")
        switch.stdin.flush()
        switch.stdout.readline()  # it is in its network now
        _in_network(switch.pid, "link add bridge type bridge")
        _in_network(switch.pid, "link set bridge up")
        names = place / "names"
        lines = [f"{NETWORK}.{number} host{number}" for number in range(1, count + 1)]
        names.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        made = []
        for number in range(1, count + 1):
            made.append(Host(number, place, switch.pid, names))
            stack.callback(made[-1].kill)
        yield made


def _in_network(pid: int, command: str) -> None:
    subprocess.run(["nsenter", f"--target={pid}", "--net", "ip", *command.split()], check=True, capture_output=True)


def _main(name: str, names: str) -> None:
    subprocess.run(["hostname", name], check=True)
    subprocess.run(["mount", "--bind", names, "/etc/hosts"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", "/dev/shm"], check=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps orphans
    print("ready", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    _main(*sys.argv[1:])
