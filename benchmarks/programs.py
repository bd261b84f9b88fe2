"""The program of a round: it runs the workers of one job, and prints the measurements as one line of JSON.

`rounds` starts it as `python -m benchmarks.programs JOB DIRECTORY`. The time of delivery runs from the first call until
the file is complete (loggers) or until the consumer has the last message (transports). It leaves out the start of
workers, collector and servers.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from benchmarks import peers, producers
from benchmarks.machine import ForeignCpu, PeakSampler, cpu_of, rss_anon
from benchmarks.producers import APPLICATION, Produced
from benchmarks.receivers import count_rows, start_server
from benchmarks.workloads import LOGGERS, Job
from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE
from tests.harness.sessions import SessionWatch

__all__ = ["Crew", "session_watch"]

QUANTILES = (0.5, 0.99, 0.999)
PR_SET_PDEATHSIG = 1


class Crew:
    """The workers of a round, started and ready to log."""

    def __init__(self, context: Any, number: int, target: Callable[..., None], *arguments: Any) -> None:
        self._gates, self._processes = [], []
        for _ in range(number):
            ours, theirs = context.Pipe()
            process = context.Process(target=target, args=(*arguments, theirs))
            process.start()
            theirs.close()  # the end of a worker then is an EOFError here
            self._gates.append(ours)
            self._processes.append(process)

    def wait_until_ready(self) -> None:
        """Wait until each worker has logged its warm-up rows."""
        for gate in self._gates:
            assert gate.recv() == "ready"

    def go(self) -> None:
        """Let the workers log. Called a second time, let the workers of a transport leave."""
        for gate in self._gates:
            gate.send("go")

    def results(self) -> list[Produced]:
        """Wait for the measurements and the ends of all workers."""
        results = [gate.recv() for gate in self._gates]
        for process in self._processes:
            process.join()
        return results


def session_watch() -> SessionWatch:
    """Return a watch of this program's session, whose key `rounds` has chosen."""
    return SessionWatch(bytes.fromhex(os.environ[ENVIRONMENT_VARIABLE].partition("-")[0]))


def _end_with_parent() -> None:
    """End the whole process group, workers and servers, when the parent of this program ends."""
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


def main() -> None:
    """Do the job, and print the measurements."""
    _end_with_parent()
    job, directory = Job.from_json(sys.argv[1]), Path(sys.argv[2])
    if job.task == "latency":
        from benchmarks import latency

        result = latency.program(job, directory)
    elif job.task == "idle":
        from benchmarks import idle

        result = idle.program(job, directory)
    elif job.carrier in LOGGERS:
        result = _log(job, directory)
    else:
        result = _carry(job, directory)
    print(json.dumps(result))


def _log(job: Job, directory: Path) -> dict[str, Any]:
    path = directory / "out.rrd"
    return _log_rerun(job, path) if job.carrier == "rerun" else _log_ours(job, path)


def _log_ours(job: Job, path: Path) -> dict[str, Any]:
    import rerun_mp as rr

    rr.init(APPLICATION)
    rr.save(path)
    watch = session_watch()
    crew = Crew(multiprocessing.get_context("fork"), job.workers, producers.produce, job, "")
    crew.wait_until_ready()
    collectors = [watch.collector(role) for role in ("guard", "worker")]

    def look() -> Mapping[str, int]:
        segment = watch.segment.stat().st_blocks * 512
        return {"ring_bytes": segment, "collector_bytes": rss_anon(collectors[1].pid)}

    foreign, sampler, cpu = ForeignCpu(), PeakSampler(look), _cpu_of_all(collectors)
    crew.go()
    results = crew.results()
    rr.disconnect()
    complete_ns = time.monotonic_ns()
    measured = {"collector_cpu_secs": _cpu_of_all(collectors) - cpu, "foreign": foreign.cores(), **sampler.stop()}
    return _report(job, results, complete_ns, measured, path)


def _log_rerun(job: Job, path: Path) -> dict[str, Any]:
    server = start_server(path)
    try:
        crew = Crew(multiprocessing.get_context("spawn"), job.workers, producers.produce, job, server.url)
        crew.wait_until_ready()
        foreign, cpu = ForeignCpu(), server.cpu_secs()
        sampler = PeakSampler(lambda: {"collector_bytes": rss_anon(server.pid)})
        crew.go()
        results = crew.results()
        cpu = server.cpu_secs() - cpu  # without the rest that the server still writes to the file
        measured = {"collector_cpu_secs": cpu, **sampler.stop()}
    finally:
        server.end()
    complete_ns = time.monotonic_ns()
    measured["foreign"] = foreign.cores()
    return _report(job, results, complete_ns, measured, path)


def _carry(job: Job, directory: Path) -> dict[str, Any]:
    context = multiprocessing.get_context("fork")
    transport = peers.transport(job.carrier, context, directory)
    crew = Crew(context, job.workers, peers.load, transport, job)
    warm = peers.consume(transport, job.workers * job.warm_rows)
    crew.wait_until_ready()
    foreign, cpu = ForeignCpu(), time.process_time()
    crew.go()
    received = peers.consume(transport, job.total_rows)
    complete_ns = time.monotonic_ns()
    measured = {"collector_cpu_secs": time.process_time() - cpu, "foreign": foreign.cores()}
    crew.go()
    results = crew.results()
    transport.close()
    return _report(job, results, complete_ns, measured, None) | {"rows": warm + received}


def _cpu_of_all(processes: list[psutil.Process]) -> float:
    return sum(map(cpu_of, processes))


def _report(
    job: Job, results: list[Produced], complete_ns: int, measured: Mapping[str, Any], path: Path | None
) -> dict[str, Any]:
    secs = (complete_ns - min(result.begin_ns for result in results)) / 1e9
    counted = count_rows(path) if path is not None else None
    times = {
        name: _quantiles([nanos for result in results for nanos in getattr(result, name)])
        for name in ("logs", "statements", "copies")
    }
    return {
        "secs": secs,
        "rows_per_sec": job.total_rows / secs,
        "worker_cpu_secs": sum(result.cpu_secs for result in results),
        "grown_bytes": max(result.grown_bytes for result in results),
        "expected": job.workers * (job.rows + job.warm_rows),
        "rows": counted.rows if counted else 0,
        "chunks": counted.chunks if counted else 0,
        "file_bytes": counted.file_bytes if counted else 0,
        **measured,
        **times,
    }


def _quantiles(nanos: list[int]) -> list[float]:
    """Return p50, p99 and p99.9 in microseconds."""
    nanos.sort()
    return [nanos[min(int(len(nanos) * q), len(nanos) - 1)] / 1e3 for q in QUANTILES] if nanos else []


if __name__ == "__main__":
    # Spawned workers unpickle functions by their module, so no function of a worker may be defined here.
    main()
