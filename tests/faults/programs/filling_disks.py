"""A program that logs while a disk under its file or its spool is full.

Usage: filling_disks.py SCENARIO ARGUMENTS... Prints JSON: [logged, delivered, dropped_by_spool_limit,
dropped_by_write_failure] once or twice.
"""

from __future__ import annotations

import json
import os
import sys
import threading

import numpy as np

import rerun_mp as rr
from rerun_mp.session.waiting import wait_until

RANDOM = np.random.default_rng(0)
ROWS_OF_PHASE = 40


def fill(disk: str) -> None:
    """Write until the disk is full."""
    with open(os.path.join(disk, "ballast"), "wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)) == 1 << 16:
                pass
        except OSError:
            pass


def free(disk: str) -> None:
    """Remove what `fill` has written."""
    os.unlink(os.path.join(disk, "ballast"))


def log_some(phase: str, number: int = ROWS_OF_PHASE // 2, recording: rr.RecordingStream | None = None) -> None:
    """Log `number` rows of two kinds each."""
    for step in range(number):
        rr.log(f"{phase}/scalar", rr.Scalars(float(step)), recording=recording)
        rr.log(f"{phase}/image", rr.Image(RANDOM.integers(0, 256, (100, 100, 3), np.uint8)), recording=recording)


def report(logged: int) -> list[int]:
    """Wait until the account has `logged` rows, and return the program's figures."""
    wait_until(lambda: rr.statistics().logged == logged, 20)
    (account,) = rr.statistics().producers
    return [account.logged, account.delivered, account.dropped_by_spool_limit, account.dropped_by_write_failure]


def full_under_the_file(disk: str, healthy: str) -> None:
    """Fill the disk of one of two files, and free it later."""
    rr.save(os.path.join(disk, "out.rrd"))
    other = rr.RecordingStream("rerun_mp_other")
    other.save(healthy)
    log_some("before")
    rr.flush()
    fill(disk)
    log_some("full")
    log_some("other", recording=other)
    rr.flush()
    print(json.dumps(report(3 * ROWS_OF_PHASE)))
    free(disk)
    log_some("after")
    rr.flush()
    print(json.dumps(report(4 * ROWS_OF_PHASE)))


def fill_under_way(disk: str) -> None:
    """Log to a file, fill its disk, and log on."""
    rr.save(os.path.join(disk, "out.rrd"))
    log_some("before")
    rr.flush()
    fill(disk)
    log_some("full")


def full_until_the_end(disk: str) -> None:
    """Fill the disk of the file, log, and end."""
    fill_under_way(disk)


def another_file_while_full(disk: str, later: str) -> None:
    """Set another file while the disk of the first one is full, log meanwhile, and free the disk."""
    fill_under_way(disk)
    rr.flush()
    waiting = threading.Thread(target=rr.save, args=(later,))
    waiting.start()
    assert wait_until(lambda: "to complete" in str(rr.statistics().sinks[0].failure), 20)
    log_some("waiting")
    rr.flush(timeout_sec=20)
    print(json.dumps(report(3 * ROWS_OF_PHASE)))
    assert waiting.is_alive()
    free(disk)
    waiting.join()
    log_some("after")


def spooled(spool_disk: str, path: str, phases: str) -> None:
    """Log without a sink while the spool's disk is full, then free it and set a file. "none": leave the disk alone."""
    if spool_disk != "none":
        fill(spool_disk)
    logged = _log_phases(int(phases))
    before = report(logged)
    if spool_disk != "none":
        free(spool_disk)
    rr.save(path)
    log_some("last")
    rr.flush()
    print(json.dumps([before, report(logged + ROWS_OF_PHASE)]))


def small_spool_disk(path: str) -> None:
    """Log more than the spool's disk holds, without a sink. Then set a file."""
    figures = report(_log_phases(10))
    rr.save(path)
    print(json.dumps(figures))


def both_full(disk: str) -> None:
    """Fill the disk of the file and the spool, and free it later."""
    fill_under_way(disk)
    rr.flush()
    print(json.dumps(report(2 * ROWS_OF_PHASE)))
    free(disk)
    log_some("after")
    rr.flush()
    print(json.dumps(report(3 * ROWS_OF_PHASE)))


def _log_phases(phases: int) -> int:
    """Log 200 rows for each phase, and return the total."""
    for phase in range(phases):
        log_some(f"phase_{phase}", 100)
        rr.flush()
    return 200 * phases


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        full_under_the_file,
        full_until_the_end,
        another_file_while_full,
        spooled,
        small_spool_disk,
        both_full,
    )
}

if __name__ == "__main__":
    rr.init("rerun_mp_disk")
    SCENARIOS[sys.argv[1]](*sys.argv[2:])
