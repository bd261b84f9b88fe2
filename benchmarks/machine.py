"""What the machine says about processes: CPU that others used, CPU and memory of ours.

Whose a process is: every process of a round finds a token in its environment (`TOKEN_VARIABLE`), its collector too,
which is nobody's child. A process without it is somebody else's. What is learnt about others:

- a program that starts many short processes shows in the `children` times of their parent only, so these count;
- those of our own ancestors do not: the collector is reaped by one of them, in the end by init;
- kernel threads do not count: what writes our gigabytes to disk is not somebody else's work.

Linux only. Any process may call.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = [
    "TOKEN_VARIABLE",
    "ForeignCpu",
    "PeakSampler",
    "Usage",
    "cpu_of",
    "cpu_secs",
    "foreign_seconds",
    "rss_anon",
]

TOKEN_VARIABLE = "BENCHMARK_ROUND"
"""In the environment of every process of a round. Not RERUN...: a collector starts without those."""
KERNEL_PARENT = 2

Key = tuple[int, float]
"""Process id and time of start: together they name one process for good."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds of somebody else's process."""

    own: float
    children: float
    """Of its children that it has waited for; 0 where they may be ours."""
    parent: int


def foreign_seconds(before: Mapping[Key, Usage], after: Mapping[Key, Usage]) -> float:
    """Return what others used between two looks.

    A process that has ended is in its parent's `children` now, or if that has ended too in its parent's parent's,
    together with what it had used before the first look, which is taken off again.
    """
    total = 0.0
    gone = {key[0]: usage for key, usage in before.items() if key not in after}
    waited_for: dict[int, float] = {}
    for usage in gone.values():
        heir = usage.parent
        while heir in gone:
            heir = gone[heir].parent
        waited_for[heir] = waited_for.get(heir, 0.0) + usage.own + usage.children
    for key, now in after.items():
        then = before.get(key, Usage(0.0, 0.0, now.parent))
        children = now.children - then.children
        if children > 0:
            children = max(0.0, children - waited_for.get(key[0], 0.0))
        total += now.own - then.own + children
    return total


class ForeignCpu:
    """Measures from its creation on."""

    def __init__(self) -> None:
        self._token = os.environ.get(TOKEN_VARIABLE, "")
        self._is_ours: dict[Key, bool] = {}
        self._before = self._look()
        self._begin = time.monotonic()

    def cores(self) -> float:
        """Return how many cores other processes have used since, on average."""
        secs = time.monotonic() - self._begin
        return foreign_seconds(self._before, self._look()) / secs

    def _look(self) -> dict[Key, Usage]:
        ancestors = {parent.pid for parent in psutil.Process().parents()} | {1}
        ours = {os.getpid()}
        found: dict[Key, Usage] = {}
        for process in psutil.process_iter(["ppid", "cpu_times", "create_time"]):
            # After what it may be a child of: ids ascend, but for those that start again from the lowest.
            parent, times = process.info["ppid"], process.info["cpu_times"]
            key = (process.pid, process.info["create_time"])
            if times is None or KERNEL_PARENT in {parent, process.pid}:
                continue
            if process.pid in ours or parent in ours or self._carries_token(process, key):
                ours.add(process.pid)
                continue
            children = 0.0 if process.pid in ancestors else times.children_user + times.children_system
            found[key] = Usage(times.user + times.system, children, parent)
        return found

    def _carries_token(self, process: psutil.Process, key: Key) -> bool:
        known = self._is_ours.get(key)
        if known is None:
            try:
                known = bool(self._token) and process.environ().get(TOKEN_VARIABLE) == self._token
            except (psutil.Error, OSError):
                known = False
            self._is_ours[key] = known
        return known


class PeakSampler:
    """A thread that keeps the greatest of each figure that `look` returns, until it is stopped."""

    def __init__(self, look: Callable[[], Mapping[str, int]], *, every_secs: float = 0.02) -> None:
        self.peaks: dict[str, int] = {}
        self._look = look
        self._every_secs = every_secs
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, int]:
        """Look once more, and return the peaks."""
        self._stopped.set()
        self._thread.join()
        self._take()
        return self.peaks

    def _run(self) -> None:
        while not self._stopped.wait(self._every_secs):
            self._take()

    def _take(self) -> None:
        for name, value in self._look().items():
            self.peaks[name] = max(value, self.peaks.get(name, 0))


def rss_anon(pid: int | None = None) -> int:
    """Return the bytes of memory of a process that are its own: no file, no shared memory. 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in text.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, those of threads that have ended included; in ticks of 10 ms."""
    times = process.cpu_times()
    return float(times.user + times.system)


def cpu_secs(pid: int) -> float:
    """Return the CPU seconds of the threads of a process, to the nanosecond: for those that do next to nothing."""
    nanos = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            nanos += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return nanos / 1e9
