"""The disk of the collector's log and notes is full: a worker starts all the same, also one that has a row to blame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import RunPython
from tests.harness.recordings import Row
from tests.harness.requirements import need
from tests.harness.small_disks import may_unshare, on_small_disks

PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_full")
rr.save(sys.argv[1])
rr.log("before", rr.Scalars(1.0))
rr.flush()
joined = current.session()
directory, words = Path(joined.segment.runtime_directory), joined.segment.ring.words
record = json.loads((directory / "quarantine.json").read_text())
suspect = {"suspect": "slot 1", "suspicions": {"slot 1": 1}, "careful_until": 10**6}
(directory / "quarantine.json").write_text(json.dumps({**record, **suspect}))
with open(directory / "filler", "wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(4096))
    except OSError:
        pass
lives = words[Header.WORKER_LIVES]
for role in (Header.GUARD_PID, Header.WORKER_PID):
    os.kill(words[role], signal.SIGKILL)
rr.log("after", rr.Scalars(2.0))
rr.flush(timeout_sec=60)
assert words[Header.WORKER_LIVES] > lives
"""


def test_a_worker_starts_on_a_full_disk(
    run_python: RunPython, tmp_path: Path, place: Path, rows_of: Callable[..., list[Row]]
) -> None:
    need(None if may_unshare() else "the right to make a mount namespace", "RERUN_MP_REQUIRE_FIELD")
    program, path = tmp_path / "full.py", tmp_path / "run.rrd"
    program.write_text(PROGRAM)
    run_python(*on_small_disks({place / "runtime": "256k"}, program, path), fresh=True).check()
    assert sorted(row.entity_path for row in rows_of(path)) == ["after", "before"]
