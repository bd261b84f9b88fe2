"""CPU that foreign processes used, and CPU and memory of our own.

Every process of a round has a token in its environment (`TOKEN_VARIABLE`), the collector too. A process without the
token is foreign. The accounting of foreign CPU:

- the `children` times of a foreign process count, because short processes show up nowhere else;
- the `children` times of our own ancestors do not count, because one of them reaps the collector;
- kernel threads do not count, because they write our own gigabytes to disk.

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
"""In the environment of every process of a round. Not RERUN...: collectors start without those."""
KERNEL_PARENT = 2
"""Process id of kthreadd, the parent of all kernel threads."""

Key = tuple[int, float]
"""Process id and start time: the pair identifies one process for ever."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds of a foreign process."""

    own: float
    children: float
    """CPU seconds of the children that it has waited for; 0 if our processes may be among them."""
    parent: int


def foreign_seconds(before: Mapping[Key, Usage], after: Mapping[Key, Usage]) -> float:
    """Return the CPU seconds of foreign processes between two looks.

    The CPU of a process that has ended moves to its parent's `children`, or to its nearest living ancestor's. That sum
    includes the time before the first look, which this function subtracts.
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
    """Measures the CPU of foreign processes from its creation on."""

    def __init__(self) -> None:
        self._token = os.environ.get(TOKEN_VARIABLE, "")
        self._is_ours: dict[Key, bool] = {}
        self._before = self._look()
        self._begin = time.monotonic()

    def cores(self) -> float:
        """Return the average number of cores that foreign processes have used."""
        secs = time.monotonic() - self._begin
        return foreign_seconds(self._before, self._look()) / secs

    def _look(self) -> dict[Key, Usage]:
        ancestors = {parent.pid for parent in psutil.Process().parents()} | {1}
        ours = {os.getpid()}
        found: dict[Key, Usage] = {}
        for process in psutil.process_iter(["ppid", "cpu_times", "create_time"]):
            # Parents come before their children, because process ids ascend, unless they have wrapped around.
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
    """A thread that keeps the maximum of each figure that `look` returns, until it is stopped."""

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
    """Return the bytes of a process's private memory, without files and shared memory; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in text.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, ended threads included, in ticks of 10 ms."""
    times = process.cpu_times()
    return float(times.user + times.system)


def cpu_secs(pid: int) -> float:
    """Return the CPU seconds of a process's live threads, to the nanosecond: for processes that are almost idle."""
    nanos = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            nanos += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return nanos / 1e9
