"""This user's sessions seen from outside: rows of each process, the collector, the use of the ring.

For `rerun-mp status`, `top` and `stop`. A private mapping of the segment keeps changes from the session. The session
need not be alive: rows that wait in the ring of a dead collector are counted with the collector's own code.

Any process of the user may call. Values read while other processes write are consistent only within one word.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from rerun_mp.errors import RerunMpError
from rerun_mp.session import kinship
from rerun_mp.session.accounts import Account, read_accounts, totals
from rerun_mp.session.config import SessionConfig
from rerun_mp.session.config_file import find_config
from rerun_mp.session.sink_status import SinkStatus, read_sinks
from rerun_mp.shm import leases, segment
from rerun_mp.shm.layout import Header, Lock, SessionState, SlotState
from rerun_mp.shm.survey import survey

if TYPE_CHECKING:
    from rerun_mp.shm.segment import Segment

__all__ = ["Collector", "Process", "Program", "SessionView", "look", "look_at"]

MAX_READS = 20
"""Attempts to read accounts and ring between two sweeps."""


@dataclass(frozen=True, slots=True)
class Process:
    """One producer of a session: a process that has logged."""

    pid: int
    name: str
    is_live: bool
    started_ns: int
    """Nanoseconds since the epoch."""
    logged: int
    """Rows of all calls that have returned, without refused rows."""
    stored: int
    """Rows that are stored in a file or in the spool."""
    waiting: int
    """Rows that are in the ring and not stored yet."""
    dropped: int
    refused: int
    """Rows that could not be logged."""
    blocked_secs: float
    """Seconds that calls have waited for space."""
    held_back: int = 0
    """Rows that the rules of the recording's file hold back."""

    @classmethod
    def of(cls, account: Account, waiting: int) -> Process:
        """Return the process of an account."""
        return cls(
            account.pid,
            account.name,
            account.is_live,
            account.started_ns,
            account.logged + waiting,
            account.stored,
            waiting,
            account.dropped,
            account.refused,
            account.blocked_ns / 1e9,
            account.held_back,
        )


@dataclass(frozen=True, slots=True)
class Collector:
    """The two processes that drain the ring. Liveness comes from the locks, not from the pids."""

    guard_pid: int
    """Found in the list of processes, because a guard takes its lock before it stores its pid in the header. If the
    list has no guard, this is the header's pid, that of the last guard."""
    worker_pid: int
    """Found in the same way."""
    is_guard_live: bool
    is_worker_live: bool
    lives: int
    """Number of workers that the session has had."""


@dataclass(frozen=True, slots=True)
class Program:
    """The oldest process that takes part in a session."""

    pid: int
    command: tuple[str, ...]
    directory: str
    """Its working directory; empty if it cannot be read."""
    user: str


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session at one moment."""

    name: str
    """Beginning of its nonce, and name of its directories."""
    state: Literal["live", "no collector", "ending", "left"]
    """left: a leftover session, whose rows `rerun-mp recover` brings into their files."""
    segment_path: str
    ending_path: str
    """Path of the segment after the session's last process has left, until its files are complete."""
    runtime_directory: str
    created_ns: int
    taken_ns: int
    """When the session was read, nanoseconds since the epoch."""
    slots: int
    used_slots: int
    """Slots that hold rows, or that a process holds open."""
    slot_bytes: int
    collector: Collector
    processes: tuple[Process, ...]
    """In the order of their start."""
    participants: tuple[int, ...]
    """Ids of all processes that have joined, with or without rows."""
    program: Program | None
    """None if no process takes part any more."""
    recordings: tuple[tuple[str, str], ...]
    """(application id, recording id) of each."""
    sinks: tuple[SinkStatus, ...]
    dropped: dict[str, int]
    """Rows by reason: policy, damage, spool, write."""

    @property
    def logged(self) -> int:
        """Rows that all processes have logged."""
        return sum(process.logged for process in self.processes)

    @property
    def stored(self) -> int:
        """Rows that are stored."""
        return sum(process.stored for process in self.processes)

    @property
    def waiting(self) -> int:
        """Rows that wait in the ring."""
        return sum(process.waiting for process in self.processes)

    @property
    def held_back(self) -> int:
        """Rows that the rules of the recordings' files hold back."""
        return sum(process.held_back for process in self.processes)

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        found = asdict(self)
        found["sinks"] = [sink._asdict() for sink in self.sinks]
        sums = {name: getattr(self, name) for name in ("logged", "stored", "held_back", "waiting")}
        return {**found, **sums}


def look() -> tuple[list[SessionView], list[str]]:
    """Return all sessions of this user, the newest first, and the reasons why others cannot be read."""
    found, problems = survey()
    views = []
    for one in found:
        try:
            view = look_at(one.path)
        except (RerunMpError, OSError) as error:
            problems.append(f"{one.path}: {error}")
            continue
        if view is not None:
            views.append(view)
    return sorted(views, key=lambda view: -view.created_ns), problems


def look_at(path: str) -> SessionView | None:
    """Return the session whose segment is at `path`; None if it has ended meanwhile.

    Raises
    ------
    RerunMpError, OSError
        If its segment or its files cannot be read.
    """
    joined = segment.attach(path, participate=False, shared=False)
    if joined is None:
        return None
    words = joined.ring.words
    locks = _locks(path)
    if locks is None:
        return None
    users = _users(joined.inode)
    collector = Collector(
        _pid_of(users.get("guard", []), words[Header.GUARD_PID]),
        _pid_of(users.get("worker", []), words[Header.WORKER_PID]),
        locks[Lock.GUARD],
        locks[Lock.WORKER],
        words[Header.WORKER_LIVES],
    )
    accounts, waiting = _rows(joined)
    processes = tuple(Process.of(account, waiting[account.index] if account.is_live else 0) for account in accounts)
    geometry = joined.ring.geometry
    participants = users.get("", [])
    return SessionView(
        name=joined.nonce.hex()[:16],
        state=_state(joined, locks),
        segment_path=path,
        ending_path=joined.ending_path,
        runtime_directory=joined.runtime_directory,
        created_ns=words[Header.CREATED_NS],
        taken_ns=time.time_ns(),
        slots=geometry.slots,
        used_slots=sum(SlotState.FREE < state & 0xFF < SlotState.UNUSABLE for state in joined.ring.states.tolist()),
        slot_bytes=geometry.slot_bytes,
        collector=collector,
        processes=processes,
        participants=tuple(participants),
        program=_program(participants),
        recordings=tuple(spec.key for spec in (find_config(joined) or SessionConfig()).recordings),
        sinks=read_sinks(joined),
        dropped={reason.name.lower(): rows for reason, rows in totals(accounts).items()},
    )


def _rows(joined: Segment) -> tuple[list[Account], Counter[int]]:
    """Return the accounts, and the waiting rows by producer: of one moment, unless sweeps follow too closely."""
    words = joined.ring.words
    for _ in range(MAX_READS):
        done = words[Header.SWEEP_DONE]
        accounts = read_accounts(joined)
        waiting = _waiting(joined)
        if words[Header.SWEEP_DONE] == done:
            break
    return accounts, waiting


def _waiting(joined: Segment) -> Counter[int]:
    # Loads numpy and pyarrow, which this module's other callers can do without.
    from rerun_mp.collector.drain.sweep import Sweeper

    rows: Counter[int] = Counter()
    for (producer, _), number in Sweeper(joined).waiting_rows().items():
        rows[producer] += number
    return rows


def _locks(path: str) -> dict[int, bool] | None:
    """Return which of the session's lock bytes are held; None if the session has ended."""
    try:
        descriptor = segment.open_checked(path)
    except FileNotFoundError:
        return None
    try:
        locks = (Lock.PARTICIPANTS, Lock.STARTER, Lock.GUARD, Lock.WORKER)
        return {lock: leases.is_held(descriptor, lock) for lock in locks}
    finally:
        os.close(descriptor)


def _state(joined: Segment, locks: dict[int, bool]) -> Literal["live", "no collector", "ending", "left"]:
    if not any(locks.values()):
        return "left"
    if joined.path == joined.ending_path or joined.ring.words[Header.SESSION_STATE] != SessionState.LIVE:
        return "ending"
    return "live" if locks[Lock.WORKER] or locks[Lock.GUARD] or locks[Lock.STARTER] else "no collector"


def _users(inode: int) -> dict[str, list[int]]:
    """Return the ids of the processes that have mapped the segment, by role: guard, worker, or "" for a participant.

    This process, which only reads, is left out.
    """
    found: dict[str, list[int]] = {}
    names = filter(str.isdigit, os.listdir("/proc")) if os.path.isdir("/proc/self") else ()
    for pid in sorted(map(int, names)):
        if pid != os.getpid() and kinship.uses_segment(pid, frozenset({inode})):
            found.setdefault(kinship.collector_of(pid)[0], []).append(pid)
    return found


def _pid_of(found: list[int], in_header: int) -> int:
    return in_header if in_header in found or not found else found[-1]


def _program(participants: list[int]) -> Program | None:
    import psutil

    oldest: psutil.Process | None = None
    for pid in participants:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if oldest is None or process.create_time() < oldest.create_time():
                oldest = process
    if oldest is None:
        return None
    try:
        return Program(oldest.pid, tuple(oldest.cmdline()), oldest.cwd(), oldest.username())
    except psutil.Error:
        return None
