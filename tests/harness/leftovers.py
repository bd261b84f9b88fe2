"""Leftovers of a test: shared memory, processes, and files of sessions.

`Machine.snapshot` is taken before a test, `Machine.leftovers` after it. Several test runs may share a machine. So each
test has a directory of its own (`own`) for runtime directory, cache and temporary files, and its path stands in the
environment of every process that the test starts. This tells a test's processes from those of other runs. Only a daemon
that the test's own process forks without exec is not recognised: let `run_python` start programs that make daemons.

Semaphores of multiprocessing (`sem.mp-...`) do not count. rerun_mp makes none, and if all processes of a program are
killed, the one that would remove them is killed with them.
"""

from __future__ import annotations

import contextlib
import multiprocessing.resource_tracker
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from rerun_mp.shm.doorbell import name_of
from rerun_mp.shm.survey import survey
from tests.harness.preloading import server_pids

__all__ = ["Leftovers", "Machine"]

SHARED_MEMORY = Path("/dev/shm")
SEGMENT_PREFIXES = ("rmp-", "sem.rmp-")
OUR_PROGRAMS = ("rerun_mp.collector", "rerun_cli/rerun")


@dataclass(frozen=True, slots=True)
class Leftovers:
    """New shared memory, files and processes since a snapshot."""

    segments: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    processes: list[psutil.Process] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.segments or self.files or self.processes)

    def __str__(self) -> str:
        names = [f"shared memory {path}" for path in self.segments]
        names += [f"file {path}" for path in self.files]
        names += [f"process {_describe(process)}" for process in self.processes]
        return "\n".join(names)

    def remove(self) -> None:
        """Kill each process by its id and remove each file, so that the next test starts clean."""
        for process in self.processes:
            # psutil compares start times first, so that a reused id is not killed.
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                pass
        psutil.wait_procs(self.processes, timeout=5)
        for path in self.segments:
            path.unlink(missing_ok=True)
        for path in self.files:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine as it was before a test."""

    own: Path
    segments: frozenset[Path]
    processes: frozenset[psutil.Process]

    @classmethod
    def snapshot(cls, own: Path) -> Machine:
        """Record the state of the machine, for a test with the directory `own`."""
        return cls(own, frozenset(_segments()), frozenset(psutil.process_iter()))

    def leftovers(self) -> Leftovers:
        """Return what this test has added since, without that of other runs."""
        processes = [process for process in self._new_processes() if self._is_left(process)]
        new_segments = [path for path in _segments() if path not in self.segments]
        # A segment of another run, and its users, may have gone between the two looks.
        segments = [path for path in new_segments if not self._is_foreign(path) and path.exists()]
        return Leftovers(segments, list(_session_files(self.own)), processes)

    def _new_processes(self) -> Iterator[psutil.Process]:
        return (process for process in psutil.process_iter() if process not in self.processes)

    def _is_left(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE and process.ppid() != os.getpid():
                return False  # dead; its own parent must reap it
            if process.pid in (_resource_tracker_pid(), *server_pids()):
                return False  # one per interpreter, until the interpreter ends
            if any(parent.pid == os.getpid() for parent in process.parents()):
                return True
            return self._carries_our_directory(process)
        except psutil.NoSuchProcess:
            return False

    def _carries_our_directory(self, process: psutil.Process) -> bool:
        try:
            environ = process.environ()
        except psutil.AccessDenied:
            return False
        if not environ:
            return any(name in " ".join(process.cmdline()) for name in OUR_PROGRAMS)
        return any(str(self.own) in value for value in environ.values())

    def _is_foreign(self, segment: Path) -> bool:
        """Whether a segment names another run's directory, or only processes of other runs have it mapped."""
        for found in survey()[0]:
            if segment.name in (Path(found.path).name, f"sem{name_of(found.nonce).replace('/', '.')}"):
                return self.own not in Path(found.runtime_directory).parents
        try:
            inode = segment.stat().st_ino
        except FileNotFoundError:
            return False
        users = [process for process in psutil.process_iter() if _maps(process, inode)]
        return bool(users) and not any(
            process.pid == os.getpid() or (process not in self.processes and self._is_left(process))
            for process in users
        )


def _segments() -> list[Path]:
    return [path for path in SHARED_MEMORY.iterdir() if path.name.startswith(SEGMENT_PREFIXES)]


def _session_files(own: Path) -> Iterator[Path]:
    """Yield the directories of sessions under `own`, and their entries."""
    for name in ("runtime", "cache", "tmp"):
        for base in (own / name).glob("rerun_mp*"):
            # A collector may remove it at any moment.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                yield from base.iterdir()
            if base.exists():
                yield base


def _maps(process: psutil.Process, inode: int) -> bool:
    """Whether a process has the file of shared memory with this inode mapped.

    The name does not tell: its founder has it mapped under the private name from before it was published.
    """
    try:
        lines = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    fields = (line.split(maxsplit=5) for line in lines if str(SHARED_MEMORY) in line)
    return any(int(field[4]) == inode for field in fields)


def _resource_tracker_pid() -> int | None:
    return getattr(multiprocessing.resource_tracker._resource_tracker, "_pid", None)


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} ({process.status()}): {' '.join(process.cmdline()) or process.name()}"
    except psutil.NoSuchProcess:
        return f"{process.pid} (gone by now)"
