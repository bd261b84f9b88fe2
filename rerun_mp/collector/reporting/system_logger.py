"""Logs the resources that the session's processes and the machine use, if `integrations.system` asks for it.

The rows are time series. For each process that logs: processor time, resident memory, threads and descriptors. For the
machine: processor time, memory, and each GPU of NVIDIA if the module pynvml is installed. Used by the worker's main
thread only.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from rerun_mp.collector.drain.own_chunks import number_chunk
from rerun_mp.collector.messages import say
from rerun_mp.session.accounts import live_account
from rerun_mp.session.host_names import host_entity
from rerun_mp.shm.layout import PAGE, PRODUCER_WORDS, WORD, ProducerState, ProducerWord

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.session.config import SessionConfig
    from rerun_mp.shm.segment import Segment

__all__ = ["SystemLogger"]

MIN_INTERVAL = 0.1
"""Minimum seconds between two rows, whatever the configuration says."""
MAX_PROCESSES = 256
"""Maximum number of processes in the log."""


class SystemLogger:
    """Logs the figures at the interval that the configuration names, or never."""

    def __init__(self, outputs: Outputs, segment: Segment) -> None:
        self._outputs = outputs
        self._segment = segment
        self._config: SessionConfig | None = None
        self._last = 0.0
        self._processes: dict[int, psutil.Process] = {}
        """Processes that an earlier look has seen. Their processor time is known since then."""
        self._nvml: Any = None
        """The module pynvml; None if it is not installed, or no GPU answers."""

    def apply(self, config: SessionConfig) -> None:
        """Take interval, entity path and recording from the configuration."""
        is_new = config.system is not None and (self._config is None or self._config.system is None)
        self._config = config
        if is_new:
            import psutil

            psutil.cpu_percent()
            self._nvml = _nvml()

    def log_if_due(self) -> None:
        """Log the figures if the interval has passed."""
        if self._config is None or self._config.system is None or self._config.default is None:
            return
        path, interval = self._config.system
        now = time.monotonic()
        if now - self._last < max(interval, MIN_INTERVAL):
            return
        self._last = now
        key = self._config.default
        path = host_entity(self._config.node and self._config.node.host, path)
        found = [*self._of_processes(), *_of_machine(), *self._of_gpus()]
        self._outputs.add([number_chunk(key, f"{path}/{name}", value) for name, value in found])

    def _pids(self) -> list[int]:
        """Return the ids of the session's living producers."""
        first = PAGE // WORD
        count = self._segment.ring.geometry.producers * PRODUCER_WORDS
        states = self._segment.ring.words[first + ProducerWord.STATE : first + count : PRODUCER_WORDS]
        living = [index for index, state in enumerate(states) if state & 0xFF == ProducerState.LIVE]
        accounts = [live_account(self._segment, index) for index in living[:MAX_PROCESSES]]
        return [account.pid for account in accounts if account is not None]

    def _of_processes(self) -> Iterator[tuple[str, float]]:
        import psutil

        pids = self._pids()
        self._processes = {pid: process for pid, process in self._processes.items() if pid in pids}
        for pid in pids:
            try:
                if pid not in self._processes:
                    self._processes[pid] = psutil.Process(pid)
                    self._processes[pid].cpu_percent()
                    continue
                process = self._processes[pid]
                with process.oneshot():
                    yield f"processes/{pid}/cpu_percent", process.cpu_percent()
                    yield f"processes/{pid}/rss_bytes", float(process.memory_info().rss)
                    yield f"processes/{pid}/threads", float(process.num_threads())
                    yield f"processes/{pid}/descriptors", float(process.num_fds())
            except psutil.Error:
                continue  # it has ended, or belongs to another user now

    def _of_gpus(self) -> Iterator[tuple[str, float]]:
        if self._nvml is None:
            return
        with contextlib.suppress(self._nvml.NVMLError):
            for number in range(self._nvml.nvmlDeviceGetCount()):
                device = self._nvml.nvmlDeviceGetHandleByIndex(number)
                usage = self._nvml.nvmlDeviceGetUtilizationRates(device)
                memory = self._nvml.nvmlDeviceGetMemoryInfo(device)
                yield f"gpus/{number}/utilization_percent", float(usage.gpu)
                yield f"gpus/{number}/memory_used_bytes", float(memory.used)


def _of_machine() -> Iterator[tuple[str, float]]:
    import psutil

    memory = psutil.virtual_memory()
    yield "machine/cpu_percent", psutil.cpu_percent()
    yield "machine/memory_used_bytes", float(memory.total - memory.available)
    yield "machine/memory_total_bytes", float(memory.total)


def _nvml() -> Any:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        say(f"no figures of GPUs: {error}")
        return None
    return pynvml
