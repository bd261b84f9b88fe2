"""A session under observation: its segment, its collector's processes, and the most that they have taken."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from rerun_mp.encoding.identity import ENVIRONMENT_VARIABLE, segment_name
from rerun_mp.shm import leases
from rerun_mp.shm.layout import PAGE, PRODUCER_BYTES, WORD, Header, Lock, ProducerWord
from tests.harness.programs import Program, wait_until

__all__ = ["SHARED_MEMORY", "SessionWatch", "Usage", "is_running"]

SHARED_MEMORY = Path("/dev/shm")
LOOK_SECS = 0.25


@dataclass(frozen=True, slots=True)
class Usage:
    """What a session took at one moment."""

    segment_bytes: int
    """Shared memory that is really there, not the segment's nominal size."""
    processes: int
    """Processes of the collector: guards, workers, and what they have started."""
    descriptors: int
    """Open files of these together."""
    threads: int
    """Threads of these together."""

    def most(self, other: Usage) -> Usage:
        """Return the greater of each figure."""
        return Usage(
            max(self.segment_bytes, other.segment_bytes),
            max(self.processes, other.processes),
            max(self.descriptors, other.descriptors),
            max(self.threads, other.threads),
        )


@dataclass(slots=True)
class SessionWatch:
    """Gives a program a session of a known key, and looks at it from outside."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def environment(self) -> dict[str, str]:
        """What a program must find in its environment to found the session, or to join it."""
        return {ENVIRONMENT_VARIABLE: self.key.hex()}

    @property
    def segment(self) -> Path:
        """Where the segment lies while the session lives."""
        return SHARED_MEMORY / segment_name(self.key)

    def collectors(self) -> dict[str, list[psutil.Process]]:
        """Return the collector's running processes by their role, "guard" and "worker"."""
        found: dict[str, list[psutil.Process]] = {"guard": [], "worker": []}
        for process in psutil.process_iter():
            try:
                line = process.cmdline()
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
            except psutil.NoSuchProcess:
                continue
            # python -P -m rerun_mp.collector ROLE SEGMENT NONCE; what waits in a shell to become one is none yet.
            if line[2:4] == ["-m", "rerun_mp.collector"] and line[5].startswith(str(self.segment)):
                found[line[4]].append(process)
        return found

    def collector(self, role: str) -> psutil.Process:
        """Wait until there is exactly one process of this role, and return it."""
        found: list[psutil.Process] = []

        def is_one() -> bool:
            found[:] = self.collectors()[role]
            return len(found) == 1

        wait_until(is_one, what=f"one {role}")
        return found[0]

    def kill(self, *roles: str) -> None:
        """Kill the collector's processes of these roles, all of them before the first can be replaced."""
        victims = [self.collector(role) for role in roles]
        for victim in victims:
            victim.send_signal(signal.SIGSTOP)
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        # Nobody here is their parent: gone is who can no longer be found.
        wait_until(lambda: not any(map(is_running, victims)), what="the end of those that were killed")

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Have the collector stand still: guard and worker."""
        frozen = [self.collector(role) for role in ("guard", "worker")]
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        wait_until(lambda: all(process.status() == psutil.STATUS_STOPPED for process in frozen), what="their stop")
        try:
            yield
        finally:
            for process in frozen:
                process.send_signal(signal.SIGCONT)

    def blocked_ns(self) -> int:
        """Return how long the first producer's calls have waited for space."""
        with self.segment.open("rb") as file:
            words = memoryview(file.read(PAGE + PRODUCER_BYTES)).cast("Q")
        return words[PAGE // WORD + ProducerWord.BLOCKED_NS]

    def has_participants(self) -> bool:
        """Say whether any process takes part in the session."""
        descriptor = os.open(self.segment, os.O_RDWR | os.O_CLOEXEC)
        try:
            return leases.is_held(descriptor, Lock.PARTICIPANTS)
        finally:
            os.close(descriptor)

    def sweeps_done(self) -> int:
        """Return how many sweeps are in the store."""
        with self.segment.open("rb") as file:
            return memoryview(file.read(PAGE)).cast("Q")[Header.SWEEP_DONE]

    def wait_for_sweeps(self, number: int) -> None:
        """Wait until so many more sweeps are in the store."""
        wait_until(self.segment.exists, timeout_secs=30.0, what="the session")
        enough = self.sweeps_done() + number
        wait_until(lambda: self.sweeps_done() >= enough, timeout_secs=30.0, what=f"{number} more sweeps")

    def usage(self) -> Usage:
        """Return what the session takes now."""
        processes = [process for group in self.collectors().values() for process in group]
        descriptors = threads = 0
        for process in processes:
            try:
                descriptors += process.num_fds()
                threads += process.num_threads()
            except psutil.NoSuchProcess:
                continue
        try:
            segment_bytes = self.segment.stat().st_blocks * 512
        except FileNotFoundError:
            segment_bytes = 0
        return Usage(segment_bytes, len(processes), descriptors, threads)

    def usage_until_end(self, program: Program, *, timeout_secs: float) -> list[Usage]:
        """Look every now and then until `program` has ended with 0, and return what was seen."""
        deadline = time.monotonic() + timeout_secs
        seen = []
        while program.process.poll() is None and time.monotonic() < deadline:
            seen.append(self.usage())
            # A look costs some milliseconds of processor time, of which the program shall have the most.
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(LOOK_SECS)
        program.wait(timeout_secs=0).check()
        return seen


def is_running(process: psutil.Process) -> bool:
    """Say whether a process, which may be nobody's child here, has not ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
