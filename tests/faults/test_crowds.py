"""P6: crowds of processes, one after the other or all at once, take no more than the limits say."""

from __future__ import annotations

import os
from collections import Counter
from functools import reduce
from pathlib import Path

import pytest

from rerun_mp.collector.reporting.death_causes import MAX_WATCHED
from rerun_mp.settings import Settings
from rerun_mp.shm.layout import SlotState
from tests.conftest import StartPython
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch, Usage

PROGRAMS = Path(__file__).parent / "programs"
MIB = 1024 * 1024
TABLES = 1 * MIB
"""More than header, producers and control tables take."""

ONE_TASK_WORKERS = """
import multiprocessing, sys
import rerun_mp as rr

def task(number):
    for step in range(10):
        rr.set_time("step", sequence=10 * number + step)
        rr.log("task", rr.Scalars(1.0))

if __name__ == "__main__":
    rr.init("rerun_mp_crowd")
    rr.save(sys.argv[1])
    task(0)
    rr.flush()
    print("begun", flush=True)
    open(sys.argv[3]).read()
    with multiprocessing.get_context("fork").Pool(8, maxtasksperchild=1) as pool:
        pool.map(task, range(1, int(sys.argv[2])), chunksize=1)
"""


@pytest.mark.parametrize(
    ("ring_bytes", "producers", "workers"),
    [(Settings().ring_bytes, Settings().producers, 270), (4 * MIB, 64, 100)],
    ids=["as set by default", "fewer slots and entries than workers"],
)
def test_hundreds_of_workers_of_one_task_each(
    ring_bytes: int, producers: int, workers: int, start_python: StartPython, tmp_path: Path
) -> None:
    """Hazard 3: an entry of the producers table is used again and again; no slot is lost to a dead owner.

    Each worker takes a slot and an entry. There are 256 slots by default, and 64 with the small ring: a slot or an
    entry a worker that does not come back would soon leave none, and the program would wait for ever.
    """
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    assert ring_bytes // Settings().slot_bytes < workers
    os.mkfifo(fifo)
    sizes = {"RERUN_MP_RING_BYTES": str(ring_bytes), "RERUN_MP_PRODUCERS": str(producers)}
    program = start_python(ONE_TASK_WORKERS, path, str(workers), fifo, env={**watch.environment, **sizes})
    # The first look is at a collector that has loaded all and opened the file.
    program.wait_for_output("begun")
    first = watch.usage()
    fifo.write_bytes(b"")
    seen = [first, *watch.usage_until_end(program, timeout_secs=200.0)]
    most = _report(f"{workers} one-task workers, ring of {ring_bytes // MIB} MiB", seen)

    verify(path)
    rows = rows_of(path)
    assert len({row.row_id for row in rows}) == len(rows)
    assert sorted(row.times["step"] for row in rows) == list(range(10 * workers))
    assert most.segment_bytes <= ring_bytes + TABLES
    assert_constant(seen)


@pytest.mark.parametrize(
    ("ring_bytes", "processes"),
    [(Settings().ring_bytes, 260), (4 * MIB, 70)],
    ids=["as set by default", "more processes than slots"],
)
def test_many_idle_processes_and_one_that_logs(
    ring_bytes: int, processes: int, start_python: StartPython, tmp_path: Path
) -> None:
    """Hazard 16: processes that have logged and wait keep nobody from logging, nor do their rows wait for their end."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    assert ring_bytes // Settings().slot_bytes < processes
    os.mkfifo(fifo)
    environment = {**watch.environment, "RERUN_MP_RING_BYTES": str(ring_bytes)}
    program = start_python(PROGRAMS / "idle_crowd.py", path, str(processes), fifo, env=environment)
    program.wait_for_output("all are idle", timeout_secs=200.0)
    idle = watch.usage()
    # While everybody still lives.
    program.wait_for_output("all is delivered", timeout_secs=200.0)
    seen = [idle, watch.usage()]
    fifo.write_bytes(b"")
    program.wait().check()
    most = _report(f"{processes} idle processes, ring of {ring_bytes // MIB} MiB", seen)

    verify(path)
    counts = Counter(row.entity_path for row in rows_of(path))
    assert counts == {"scalar": processes, "text": processes, "points": processes, "another": 2000}
    assert most.segment_bytes <= ring_bytes + TABLES
    assert_constant(seen)


def test_a_segment_has_locks_for_processes_not_for_slots(start_python: StartPython, tmp_path: Path) -> None:
    """Hazard 29: a lock attempt looks at every lock of the file, so that open slots must not hold one each."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    program = start_python(PROGRAMS / "open_tables.py", path, fifo, env=watch.environment)
    program.wait_for_output("tables are open")
    open_slots = watch.slot_states().count(SlotState.OPEN)
    locks = locks_of(watch.segment)
    fifo.write_bytes(b"")
    program.wait().check()
    # Some tables may have been closed early, because the many that were opened at once put the ring under pressure.
    assert open_slots > 60
    # The participants' one lease, a producer's for each child, guard and worker; a claim's own is gone.
    assert len(locks) <= 1 + 4 + 2 + 2, f"{len(locks)} locks"
    assert Counter(row.entity_path for row in rows_of(path)) == {"scalar": 120}


def locks_of(path: Path) -> list[str]:
    """Return what the kernel says of each lock on a file."""
    suffix = f":{path.stat().st_ino}"
    return [line for line in Path("/proc/locks").read_text().splitlines() if line.split()[-3].endswith(suffix)]


MANY_RECORDINGS = """
import os, sys
import rerun_mp as rr

rr.init("rerun_mp_recordings")
recordings = []
for number in range(int(sys.argv[2])):
    recording = rr.new_recording("rerun_mp_recordings", recording_id=f"recording-{number}")
    recording.save(f"{sys.argv[1]}/{number}.rrd")
    recording.log("row", rr.Scalars(float(number)))
    recordings.append(recording)
rr.flush()
for number in range(0, len(recordings), 10):
    recordings[number].log("again", rr.Scalars(float(number)))
rr.flush()
print("all are stored", flush=True)
open(sys.argv[3]).read()
"""


def test_recordings_beyond_64_rest_and_are_whole_all_the_same(start_python: StartPython, tmp_path: Path) -> None:
    """Hazard 27: each that is being written takes three threads and a descriptor, so the longest unused make room.

    Two of the threads remain, whatever a recording's files were: rerun-sdk keeps them as long as it lives.
    """
    files, fifo, recordings, watch = tmp_path / "files", tmp_path / "fifo", 90, SessionWatch()
    files.mkdir()
    os.mkfifo(fifo)
    program = start_python(MANY_RECORDINGS, files, str(recordings), fifo, env=watch.environment)
    program.wait_for_output("all are stored", timeout_secs=200.0)
    used = watch.usage()
    fifo.write_bytes(b"")
    program.wait().check()
    assert used.threads <= 2 * recordings + 64 + 32, f"{used.threads} threads"
    assert used.descriptors + used.watched <= 64 + 64, f"{used.descriptors} and {used.watched} descriptors"
    assert len(list(files.iterdir())) == recordings
    for number in range(recordings):
        path = files / f"{number}.rrd"
        counts = Counter(row.entity_path for row in rows_of(path))
        assert counts == ({"row": 1} if number % 10 else {"row": 1, "again": 1})
        if number % 50 == 0:
            verify(path)


def _report(name: str, seen: list[Usage]) -> Usage:
    """Print the greatest of each figure, and return it."""
    most = reduce(Usage.most, seen)
    print(
        f"{name}: at most {most.segment_bytes / MIB:.1f} MiB of shared memory; the collector: {most.processes} "
        f"processes, {most.descriptors} open files, {most.watched} watched processes, {most.threads} threads"
    )
    return most


def assert_constant(seen: list[Usage]) -> None:
    """Assert that the collector takes no more in the end than early on, and no more than it may at all."""
    early, late = (reduce(Usage.most, part) for part in (seen[: len(seen) // 2], seen[len(seen) // 2 :]))
    assert late.descriptors <= early.descriptors + 4
    assert late.threads <= early.threads + 2
    # A guard and a worker; while one starts, the shell that makes it nobody's child.
    assert max(early.processes, late.processes) <= 3
    assert late.descriptors <= 32
    # How many processes are watched at a moment is chance: those that live, and those that have just ended.
    assert max(early.watched, late.watched) <= MAX_WATCHED
    assert late.threads <= 32
