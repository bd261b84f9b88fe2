"""Hazard 18: a row that kills whoever handles it costs itself, not the collector, and not the rows beside it."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import ROOT
from tests.harness.recordings import rows_of, verify

KILLER = """
import sys

if "rerun_mp.collector" in sys.orig_argv and "worker" in sys.orig_argv:
    import ctypes

    from rerun_mp.collector.drain import frame_chunks as chunks
    from rerun_mp.collector.store import rerun_sdk

    def die():
        ctypes.string_at(0)

    def deadly_chunk(batch, _original=rerun_sdk.chunks_of_batch):
        if b"killer" in batch.schema.metadata[b"rerun:entity_path"]:
            die()
        return _original(batch)

    def deadly_decode(frame, trusted, _original=chunks.decode_frame):
        if "reader" in frame.entity_path:
            die()
        return _original(frame, trusted)

    rerun_sdk.chunks_of_batch = deadly_chunk
    chunks.decode_frame = deadly_decode
"""
"""Put into every interpreter: workers die by a real segmentation fault of a chunk of one entity, or of a frame."""

PROGRAM = """
import json, sys
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.session.accounts import read_accounts
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_quarantine")
rr.save(sys.argv[1])
victims = sys.argv[2:]
for step in range(50):
    rr.set_time("step", sequence=step)
    rr.log("table", rr.Scalars(float(step)))
    rr.log("frame", rr.Boxes3D(half_sizes=[[1, 1, step]]))
    for victim in victims:
        if step == 25:
            rr.log(victim, rr.Scalars(1.0) if "table" in victim else rr.Boxes3D(half_sizes=[[1, 1, 1]]))
rr.flush(timeout_sec=100)
joined = current.session().segment
(account,) = read_accounts(joined)
words = joined.ring.words
seen = [account.delivered, account.dropped_by_damage, words[Header.DAMAGED_SLOTS], words[Header.WORKER_LIVES]]
print(json.dumps(seen))
for step in range(50, 60):
    rr.log("after", rr.Scalars(float(step)))
"""


def run(run_python: RunPython, tmp_path: Path, *victims: str) -> tuple[list[int], Counter[str]]:
    """Log rows of which some are deadly. Returns what the program saw of the accounts, and what is in the file."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(KILLER)
    path = tmp_path / "out.rrd"
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    done = run_python(PROGRAM, path, *victims, env=env, timeout=120.0).check()
    verify(path)
    found = Counter(row.entity_path for row in rows_of(path))
    assert found.pop("__rerun_mp/dropped", 0) > 0 or not victims, "the recording says what was dropped"
    return json.loads(done.stdout), found


@pytest.mark.parametrize(
    "victims",
    [
        ("killer/table",),
        pytest.param(("killer/frame",), marks=pytest.mark.soak),
        pytest.param(("killer/table", "killer/frame"), marks=pytest.mark.soak),
    ],
)
def test_a_chunk_that_kills_is_left_out_and_counted(
    victims: tuple[str, ...], run_python: RunPython, tmp_path: Path
) -> None:
    """Each deadly row is counted as damaged; every other one arrives once, those logged afterwards too."""
    (delivered, damaged, _, lives), rows = run(run_python, tmp_path, *victims)
    assert rows == {"table": 50, "frame": 50, "after": 10}
    assert (delivered, damaged) == (100, len(victims))
    assert lives > 3


def test_a_slot_that_kills_its_reader_is_left_out_and_counted(run_python: RunPython, tmp_path: Path) -> None:
    """A frame that cannot even be decoded costs what its slot holds, and the slot is counted."""
    (delivered, _, slots, lives), rows = run(run_python, tmp_path, "reader/frame")
    # An earlier sweep may have taken what came before it.
    taken_before = rows.pop("frame", 0)
    assert taken_before <= 26
    assert rows == {"table": 50, "after": 10}
    assert delivered == 50 + taken_before
    assert slots >= 1
    assert lives > 3
