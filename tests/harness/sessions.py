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

from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE, segment_name
from rerun_mp.shm import leases
from rerun_mp.shm.layout import (
    LINE_BYTES,
    PAGE,
    PRODUCER_BYTES,
    WORD,
    Geometry,
    Header,
    Lock,
    ProducerWord,
    SlotState,
)
from rerun_mp.shm.segment import attach, nonce_of
from tests.harness.programs import Program, wait_until

__all__ = ["SHARED_MEMORY", "SessionWatch", "Usage", "is_running"]

SHARED_MEMORY = Path("/dev/shm")
LOOK_SECS = 0.25
PROCESS_DESCRIPTOR = "anon_inode:[pidfd]"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a session took at one moment."""

    segment_bytes: int
    """Shared memory that is really there, not the segment's nominal size."""
    processes: int
    """Processes of the collector: guards, workers, and what they have started."""
    descriptors: int
    """Open files of these together, without `watched`."""
    watched: int
    """Descriptors through which these wait for the ends of other processes: one for each that lives."""
    threads: int
    """Threads of these together."""

    def most(self, other: Usage) -> Usage:
        """Return the greater of each figure."""
        return Usage(
            max(self.segment_bytes, other.segment_bytes),
            max(self.processes, other.processes),
            max(self.descriptors, other.descriptors),
            max(self.watched, other.watched),
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
            # python -P -m rerun_mp.collector ROLE SEGMENT NONCE; what waits in a shell to become one is none yet, and
            # what is just becoming one may show half of it.
            if len(line) == 7 and line[2:4] == ["-m", "rerun_mp.collector"] and line[5].startswith(str(self.segment)):
                found[line[4]].append(process)
        return found

    def collector(self, role: str) -> psutil.Process:
        """Wait until there is exactly one process of this role, and return it."""
        found: list[psutil.Process] = []

        def is_one() -> bool:
            found[:] = self.collectors()[role]
            return len(found) == 1

        wait_until(is_one, timeout_secs=60.0, what=f"one {role}")
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

    def stop(self, *roles: str) -> list[psutil.Process]:
        """Stop the collector's processes of these roles where they are, and return them."""
        stopped = [self.collector(role) for role in roles]
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        wait_until(lambda: all(one.status() == psutil.STATUS_STOPPED for one in stopped), what="their being stopped")
        return stopped

    def kill_everything(self, program: Program) -> None:
        """Kill the program's process group and every process of the collector, all of them before any can react."""
        os.killpg(program.pid, signal.SIGSTOP)
        self.kill_running()
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        wait_until(lambda: not self.is_in_use(), what="the end of every process of the session")

    def kill_running(self, *roles: str) -> None:
        """Kill the collector's processes, or those of these roles, before any can react; there need not be any."""
        victims: list[psutil.Process] = []
        # One may have started another until it was stopped itself.
        while fresh := [
            one
            for role, group in self.collectors().items()
            for one in group
            if one not in victims and (not roles or role in roles)
        ]:
            for process in fresh:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGSTOP)
            victims += fresh
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, victims)), what="the end of those that were killed")

    def is_in_use(self) -> bool:
        """Say whether any process takes part in the session or collects from it."""
        descriptor = os.open(self.segment, os.O_RDWR | os.O_CLOEXEC)
        try:
            return leases.is_held(descriptor, Lock.BASE, Lock.LIVES)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Have the collector stand still: guard and worker."""
        frozen = self.stop("guard", "worker")
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

    @property
    def nonce(self) -> bytes:
        """What its directories and its collector's command lines name."""
        with self.segment.open("rb") as file:
            return nonce_of(memoryview(file.read(PAGE)).cast("Q"))

    def free_slots(self) -> int:
        """Return how many slots of the ring nobody has claimed, at this moment."""
        looked = attach(str(self.segment), participate=False, shared=False)
        assert looked is not None
        return sum(state in (SlotState.FREE, SlotState.UNTOUCHED) for state in looked.ring.states.tolist())

    def header(self, word: int) -> int:
        """Return a word of the segment's header, whether the session lives or is ending."""
        paths = [self.segment, *self.segment.parent.glob(f"{self.segment.name}.*")]
        for path in paths:
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                return int(memoryview(file.read(PAGE)).cast("Q")[word])
        raise FileNotFoundError(f"{self.segment} is not there")

    def sweeps_done(self) -> int:
        """Return how many sweeps are in the store."""
        return self.header(Header.SWEEP_DONE)

    def slot_states(self) -> list[int]:
        """Return the state of each slot."""
        with self.segment.open("rb") as file:
            words = memoryview(file.read(PAGE)).cast("Q")
            geometry = Geometry(words[Header.SLOT_BYTES], words[Header.SLOTS], words[Header.PRODUCERS])
            file.seek(geometry.control_offset)
            lines = memoryview(file.read(geometry.slots * LINE_BYTES)).cast("Q")
        return [state & 0xFF for state in lines[:: LINE_BYTES // 8].tolist()]

    def wait_for_sweeps(self, number: int) -> None:
        """Wait until so many more sweeps are in the store."""
        wait_until(self.segment.exists, timeout_secs=60.0, what="the session")
        enough = self.sweeps_done() + number
        wait_until(lambda: self.sweeps_done() >= enough, timeout_secs=60.0, what=f"{number} more sweeps")

    def usage(self) -> Usage:
        """Return what the session takes now."""
        processes = [process for group in self.collectors().values() for process in group]
        descriptors = watched = threads = 0
        for process in processes:
            try:
                targets = list(_descriptor_targets(process.pid))
                of_processes = targets.count(PROCESS_DESCRIPTOR)
                watched += of_processes
                descriptors += len(targets) - of_processes
                threads += process.num_threads()
            except psutil.NoSuchProcess:
                continue
        try:
            segment_bytes = self.segment.stat().st_blocks * 512
        except FileNotFoundError:
            segment_bytes = 0
        return Usage(segment_bytes, len(processes), descriptors, watched, threads)

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


def _descriptor_targets(pid: int) -> Iterator[str]:
    """Yield what each descriptor of a process refers to."""
    with contextlib.suppress(FileNotFoundError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(FileNotFoundError):
                yield os.readlink(descriptor.path)


def is_running(process: psutil.Process) -> bool:
    """Say whether a process, which may be nobody's child here, has not ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
