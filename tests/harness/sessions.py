"""A session seen from outside: its segment, its collector's processes, and their use of resources."""

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
    """The resources of a session at one moment."""

    segment_bytes: int
    """Bytes of shared memory in use, not the segment's nominal size."""
    processes: int
    """Guards and workers."""
    descriptors: int
    """Open files of all these processes, without `watched`."""
    watched: int
    """Descriptors with which they wait for the end of other processes: one for each living process."""
    threads: int
    """Threads of all these processes."""

    def most(self, other: Usage) -> Usage:
        """Return the larger value of each figure."""
        return Usage(
            max(self.segment_bytes, other.segment_bytes),
            max(self.processes, other.processes),
            max(self.descriptors, other.descriptors),
            max(self.watched, other.watched),
            max(self.threads, other.threads),
        )


@dataclass(slots=True)
class SessionWatch:
    """Gives a program a session with a known key, and observes that session."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def environment(self) -> dict[str, str]:
        """Environment with which a program founds or joins the session."""
        return {ENVIRONMENT_VARIABLE: self.key.hex()}

    @property
    def segment(self) -> Path:
        """Path of the segment while the session lives."""
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
            # python -P -m rerun_mp.collector ROLE SEGMENT NONCE. A shell that will become a collector does not count,
            # and a starting process may show only a part of the line.
            if len(line) == 7 and line[2:4] == ["-m", "rerun_mp.collector"] and line[5].startswith(str(self.segment)):
                found[line[4]].append(process)
        return found

    def collector(self, role: str) -> psutil.Process:
        """Wait until exactly one process has this role, and return it."""
        found: list[psutil.Process] = []

        def is_one() -> bool:
            found[:] = self.collectors()[role]
            return len(found) == 1

        wait_until(is_one, timeout_secs=60.0, what=f"one {role}")
        return found[0]

    def kill(self, *roles: str) -> None:
        """Kill the collector's processes of these roles. All are stopped first, so that none starts another."""
        victims = [self.collector(role) for role in roles]
        for victim in victims:
            victim.send_signal(signal.SIGSTOP)
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        # They are no children of this process, which cannot wait for them.
        wait_until(lambda: not any(map(is_running, victims)), what="the end of the killed processes")

    def stop(self, *roles: str) -> list[psutil.Process]:
        """Stop the collector's processes of these roles with SIGSTOP, and return them."""
        stopped = [self.collector(role) for role in roles]
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        wait_until(lambda: all(one.status() == psutil.STATUS_STOPPED for one in stopped), what="stopped processes")
        return stopped

    def kill_everything(self, program: Program) -> None:
        """Kill the program's process group and the collector. All are stopped first, so that none reacts.

        A process of the collector that begins to start has no command line of its own yet, so this waits until both
        have.
        """
        wait_until(lambda: all(self.collectors().values()), what="guard and worker")
        os.killpg(program.pid, signal.SIGSTOP)
        self.kill_running()
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        wait_until(lambda: not self.is_in_use(), what="the end of all processes of the session")

    def kill_running(self, *roles: str) -> None:
        """Kill the running processes of the collector, or of these roles, if any. All are stopped first."""
        victims: list[psutil.Process] = []
        # A process may have started another before it was stopped.
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
        wait_until(lambda: not any(map(is_running, victims)), what="the end of the killed processes")

    def is_in_use(self) -> bool:
        """Return whether any process takes part in the session or collects from it."""
        descriptor = os.open(self.segment, os.O_RDWR | os.O_CLOEXEC)
        try:
            return leases.is_held(descriptor, Lock.BASE, Lock.LIVES)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop guard and worker with SIGSTOP, and continue them after the block."""
        frozen = self.stop("guard", "worker")
        try:
            yield
        finally:
            for process in frozen:
                process.send_signal(signal.SIGCONT)

    def is_gone(self) -> bool:
        """Return whether the session has ended, or been recovered: no segment is left."""
        return not any(SHARED_MEMORY.glob(f"{self.segment.name}*"))

    def blocked_ns(self) -> int:
        """Return the nanoseconds that the first producer's calls have waited for space."""
        with self.segment.open("rb") as file:
            words = memoryview(file.read(PAGE + PRODUCER_BYTES)).cast("Q")
        return words[PAGE // WORD + ProducerWord.BLOCKED_NS]

    def has_participants(self) -> bool:
        """Return whether any process takes part in the session."""
        descriptor = os.open(self.segment, os.O_RDWR | os.O_CLOEXEC)
        try:
            return leases.is_held(descriptor, Lock.PARTICIPANTS)
        finally:
            os.close(descriptor)

    @property
    def nonce(self) -> bytes:
        """The session's nonce, which its directories and the collector's command lines name."""
        with self.segment.open("rb") as file:
            return nonce_of(memoryview(file.read(PAGE)).cast("Q"))

    def free_slots(self) -> int:
        """Return the number of slots that are free at this moment."""
        looked = attach(str(self.segment), participate=False, shared=False)
        assert looked is not None
        return sum(state in (SlotState.FREE, SlotState.UNTOUCHED) for state in looked.ring.states.tolist())

    def header(self, word: int) -> int:
        """Return a word of the segment's header, also while the session is ending."""
        paths = [self.segment, *self.segment.parent.glob(f"{self.segment.name}.*")]
        for path in paths:
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                return int(memoryview(file.read(PAGE)).cast("Q")[word])
        raise FileNotFoundError(f"{self.segment} does not exist")

    def wait_for_state(self, state: int) -> None:
        """Wait until the session has reached a `SessionState`, or is gone."""
        wait_until(self.segment.exists, what="the session")

        def has_reached() -> bool:
            try:
                return self.header(Header.SESSION_STATE) >= state
            except FileNotFoundError:
                return True  # a busy machine may not run this process while the session ends

        wait_until(has_reached, what=f"state {state} of the session")

    def sweeps_done(self) -> int:
        """Return the number of stored sweeps."""
        return self.header(Header.SWEEP_DONE)

    def slot_states(self) -> list[int]:
        """Return the state of each slot."""
        with self.segment.open("rb") as file:
            words = memoryview(file.read(PAGE)).cast("Q")
            geometry = Geometry(words[Header.SLOT_BYTES], words[Header.SLOTS], words[Header.PRODUCERS])
            file.seek(geometry.control_offset)
            lines = memoryview(file.read(geometry.slots * LINE_BYTES)).cast("Q")
        return [state & 0xFF for state in lines[:: LINE_BYTES // 8].tolist()]

    def wait_for_sweeps(self, number: int, *, since: int | None = None) -> None:
        """Wait until `number` more sweeps are stored than now, or than `since`.

        Where the program may log its last row before this call, the caller must say since when.
        """
        wait_until(self.segment.exists, timeout_secs=60.0, what="the session")
        enough = (self.sweeps_done() if since is None else since) + number
        wait_until(lambda: self.sweeps_done() >= enough, timeout_secs=60.0, what=f"{number} more sweeps")

    def usage(self) -> Usage:
        """Return the session's current use of resources."""
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
        """Return the usage at intervals until `program` has ended with 0."""
        deadline = time.monotonic() + timeout_secs
        seen = []
        while program.process.poll() is None and time.monotonic() < deadline:
            seen.append(self.usage())
            # Each look costs some milliseconds of processor time that the program needs.
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(LOOK_SECS)
        program.wait(timeout_secs=0).check()
        return seen


def _descriptor_targets(pid: int) -> Iterator[str]:
    """Yield the target of each descriptor of a process."""
    with contextlib.suppress(FileNotFoundError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(FileNotFoundError):
                yield os.readlink(descriptor.path)


def is_running(process: psutil.Process) -> bool:
    """Return whether a process has not ended. It need not be a child of this process."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
