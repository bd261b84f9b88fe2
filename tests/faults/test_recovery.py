"""After the worst, everything of a tree killed at once: its rows reach their file, once, and nothing is left behind."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.leftovers import Machine
from tests.harness.programs import Program
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch

ROWS = 500
IMAGES = 3
WORKERS = 2

LOGGING = (
    """
import multiprocessing, os, signal, sys
import numpy as np
import rerun_mp as rr

def work(number, begin, ready):
    rr.log(f"worker/{number}", rr.Scalars(0.0))
    rr.flush()
    ready.wait()
    begin.wait()
    for step in range(1, ROWS):
        rr.log(f"worker/{number}", rr.Scalars(float(step)))
    for step in range(IMAGES):
        rr.log(f"image/{number}", rr.Image(np.full((1000, 1000, 3), step, np.uint8)))
    ready.wait()
    signal.pause()

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    begin, ready = context.Event(), context.Barrier(WORKERS + 1)
    rr.init("rerun_mp_worst")
    for path in sys.argv[2:]:
        rr.save(path)
    for number in range(WORKERS):
        context.Process(target=work, args=(number, begin, ready)).start()
    ready.wait()
    print("begun", flush=True)
    open(sys.argv[1]).read()
    begin.set()
    ready.wait()
    print("logged", flush=True)
    signal.pause()
""".replace("ROWS", str(ROWS))
    .replace("IMAGES", str(IMAGES))
    .replace("WORKERS", str(WORKERS))
)
"""Each worker's first row is stored before the others are logged. An image is larger than a quarter of the ring."""

EXPECTED = {f"{kind}/{n}": rows for kind, rows in (("worker", ROWS), ("image", IMAGES)) for n in range(WORKERS)}
UNDELIVERED = sum(EXPECTED.values()) - WORKERS

RECOVER = """
import sys
from rerun_mp.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


class Worst:
    """A program whose every process was killed at once, with rows that no collector has seen."""

    def __init__(self, start_python: StartPython, directory: Path, *paths: Path) -> None:
        self.watch = SessionWatch()
        begin = directory / "begin"
        os.mkfifo(begin)
        environment = {**self.watch.environment, "RERUN_MP_RING_BYTES": str(8 << 20)}
        self.program: Program = start_python(LOGGING, begin, *paths, env=environment)
        self.program.wait_for_output("begun")
        self.watch.stop("guard", "worker")
        begin.write_bytes(b"x")
        self.program.wait_for_output("logged")
        self.watch.kill_everything(self.program)


@pytest.fixture
def machine(place: Path) -> Machine:
    return Machine.snapshot(place)


def check_file(path: Path, expected: dict[str, int] = EXPECTED) -> None:
    """Check that a file is complete and has these rows, each once."""
    verify(path)
    rows = rows_of(path)
    assert Counter(row.entity_path for row in rows) == expected
    assert len({row.row_id for row in rows}) == len(rows), "a row is there twice"


def test_recover_brings_every_row_into_the_file_and_removes_the_rest(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """Rows in the ring, in files of the spool and in the torn file; what it prints says how many and where."""
    path = tmp_path / "out.rrd"
    Worst(start_python, tmp_path, path)
    done = run_python(RECOVER, "recover").check()
    assert f"{UNDELIVERED:,} rows, in {path}" in done.stdout
    check_file(path)
    assert not machine.leftovers()
    assert list(tmp_path.glob("*.rrd*")) == [path]
    assert run_python(RECOVER, "recover").check().stdout == "nothing is left to recover\n"
