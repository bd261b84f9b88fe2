"""Facts about processes, from /proc: their start time, ancestors, program, command line and environment.

A fact that cannot be read, because the process has ended or belongs to another user, is 0 or empty. Any thread may
call.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import sys
import time
from typing import TYPE_CHECKING

from rerun_mp.shm.interruptions import suppress_own
from rerun_mp.shm.segment import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ancestors",
    "argument_of",
    "boot_id",
    "collector_of",
    "command_line",
    "environment_of",
    "executable_of",
    "forked_from",
    "holds_lease",
    "multiprocessing_parent",
    "own_processes",
    "parent_of",
    "pid_namespace",
    "program_mark",
    "segment_inodes",
    "start_ticks",
    "started_ns",
    "ticks_now",
    "uses_segment",
]

MAX_ANCESTORS = 64
MAX_LOOKS = 8
"""Looks at the list of processes. While one look lasts, a process may have started another one and ended."""
EXEC_READS = 5
"""Attempts to read an environment that is empty for a moment, while the process calls exec."""
COLLECTOR_MODULE = b"rerun_mp.collector"
"""Stands in a collector's command line, before its role, its segment and its session's nonce."""
PF_FORKNOEXEC = 0x40
"""In a process's flags: it was forked and has not called exec. The kernel's `include/linux/sched.h`."""
TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")


def ticks_now() -> int:
    """Return the time since the start of the machine in clock ticks, the unit of `start_ticks`."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * TICKS_PER_SEC // 1_000_000_000


def start_ticks(pid: int) -> int:
    """Return when a process was started, in clock ticks since the start of the machine. exec does not change it."""
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def started_ns(pid: int) -> int:
    """Return when a process was started, in nanoseconds since the epoch by today's clock."""
    return time.time_ns() - (ticks_now() - start_ticks(pid) + 1) * (1_000_000_000 // TICKS_PER_SEC)


def own_processes() -> Iterator[int]:
    """Yield the ids of the processes of this user, also of those that are started meanwhile."""
    seen: set[str] = set()
    for _ in range(MAX_LOOKS):
        fresh = [name for name in os.listdir("/proc") if name.isdecimal() and name not in seen]
        if not fresh:
            return
        seen.update(fresh)
        for name in fresh:
            with suppress_own(OSError):
                if os.stat(f"/proc/{name}").st_uid == os.geteuid():
                    yield int(name)


def ancestors(pid: int) -> Iterator[int]:
    """Yield the ids of a process's parent, of that process's parent, and so on."""
    for _ in range(MAX_ANCESTORS):
        pid = parent_of(pid)
        if pid <= 0:
            return
        yield pid


def parent_of(pid: int) -> int:
    """Return the id of a process's parent; 0 if it has none."""
    fields = _stat(pid)
    return int(fields[1]) if len(fields) > 1 else 0


def multiprocessing_parent() -> int:
    """Return the id of the process by which multiprocessing has started this one; 0 if it has not."""
    process = sys.modules.get("multiprocessing.process")
    parent = process.parent_process() if process is not None else None
    return 0 if parent is None else int(parent.pid)


def boot_id() -> str:
    """Return the kernel's random id of this boot."""
    # Bytes, because a process that has changed its user may not be able to load a codec any more.
    with suppress_own(OSError), open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read().strip().decode()
    return ""


def pid_namespace() -> str:
    """Return the name of this process's namespace of process ids."""
    with suppress_own(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def program_mark(pid: int | str = "self") -> int:
    """Return a number that a process shares with those that it was forked from or has forked, until one calls exec.

    The kernel chooses new random addresses at each exec. Other users cannot read them.
    """
    raw = _read(pid, "auxv")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little") if raw else 0


def forked_from() -> int:
    """Return the id of the oldest process that this one was forked from, if all forks after it live; 0 if of none.

    Neither this process nor those in between have called exec. Without random addresses, the marks alone do not tell.
    A process that has changed its user can read no mark. Then its forker is known by their session of the system.
    """
    mark, pid = program_mark(), os.getpid()
    own_session = os.getsid(0)
    found = 0
    while _has_not_called_exec(pid):
        pid = parent_of(pid)
        if program_mark(pid) != mark or (not mark and _session_of(pid) != own_session):
            break
        found = pid
    return found


def _session_of(pid: int) -> int:
    """Return the operating system's session of a process. The process that adopts an orphan seldom has the same one."""
    fields = _stat(pid)
    return int(fields[3]) if len(fields) > 3 else 0


def _has_not_called_exec(pid: int) -> bool:
    """Say whether a process was forked and has not called exec since."""
    fields = _stat(pid)
    return len(fields) > 6 and bool(int(fields[6]) & PF_FORKNOEXEC)


def environment_of(pid: int | str) -> dict[str, str]:
    """Return the environment with which a process called exec. What it has changed since then does not show."""
    raw = b""
    for _ in range(EXEC_READS):
        raw = raw or _read(pid, "environ")
    entries = (os.fsdecode(entry).partition("=") for entry in raw.split(b"\0"))
    return {name: value for name, equals, value in entries if equals}


def argument_of(pid: int, option: str) -> str:
    """Return the argument that follows an option in a process's command line; empty if there is none."""
    arguments = _arguments_of(pid)
    found = (after for one, after in itertools.pairwise(arguments) if one == option.encode())
    return os.fsdecode(next(found, b""))


def collector_of(pid: int) -> tuple[str, str]:
    """Return the role and the session's nonce from a collector's command line. Both are empty for another process."""
    arguments = _arguments_of(pid)
    if COLLECTOR_MODULE not in arguments[:-3]:
        return "", ""
    role, _, nonce = map(os.fsdecode, arguments[-3:])
    return role, nonce


def command_line(pid: int) -> str:
    """Return a process's command line, with a blank between two arguments."""
    return os.fsdecode(b" ".join(_arguments_of(pid)))


def executable_of(pid: int) -> str:
    """Return the name of the file that a process runs."""
    with suppress_own(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    return ""


def segment_inodes(path: str = "") -> frozenset[int]:
    """Return the inodes of this user's segments in /dev/shm, or of the one at `path`."""
    found = set()
    for one in [path] if path else glob.glob(f"{DIRECTORY}/rmp-*"):
        with suppress_own(OSError):
            status = os.stat(one)
            if status.st_uid == os.geteuid():
                found.add(status.st_ino)
    return frozenset(found)


def uses_segment(pid: int, inodes: frozenset[int]) -> bool:
    """Say whether a process has one of these segments mapped. Its founder has it mapped under another name."""
    return any(inode in inodes for inode, _ in _mapped_segments(pid))


def holds_lease(pid: int, inode: int) -> bool:
    """Say whether a process holds a lease on the segment with this inode. Only leases map it shared and read-only."""
    return (inode, b"r--s") in _mapped_segments(pid)


def _mapped_segments(pid: int) -> Iterator[tuple[int, bytes]]:
    """Yield inode and permissions of each mapping of a segment."""
    for line in _read(pid, "maps").splitlines():
        if DIRECTORY.encode() in line:
            fields = line.split(maxsplit=5)
            yield int(fields[4]), fields[1]


def _arguments_of(pid: int) -> list[bytes]:
    return _read(pid, "cmdline").rstrip(b"\0").split(b"\0")


def _stat(pid: int) -> list[bytes]:
    # The second field, the program's name, may contain blanks and parentheses.
    return _read(pid, "stat").rpartition(b")")[2].split()


def _read(pid: int | str, name: str) -> bytes:
    with suppress_own(OSError), open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        return file.read()
    return b""
