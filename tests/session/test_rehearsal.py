"""The rehearsal of a first row before the first fork."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.session import rehearsal
from rerun_mp.session.rehearsal import rehearse
from tests.conftest import RunPython
from tests.faults.test_orphans import checked_rows
from tests.harness.requirements import need
from tests.harness.small_disks import may_unshare, on_small_disks

FULL_DISK = """
import contextlib, os, sys
from pathlib import Path
import rerun_mp as rr
from rerun_mp.session import current
rr.init("rerun_mp_rehearsal")
rr.save(sys.argv[1])
directory = Path(current.session().segment.runtime_directory)
with (directory / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
    while True:
        filler.write(bytes(4096))
child = os.fork()
if child == 0:
    rr.log("child", rr.Scalars(1.0))
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
rr.log("parent", rr.Scalars(1.0))
"""


def test_a_rehearsal_leaves_nothing(tmp_path: Path) -> None:
    """No file, no descriptor and no mapping of its ring; its rows reach no session."""
    descriptors = len(os.listdir("/proc/self/fd"))
    rehearsal._rehearse_in(str(tmp_path / "ring"))
    assert not os.listdir(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_fork_goes_on_if_the_system_refuses_the_rehearsal(tmp_path: Path) -> None:
    rehearse(str(tmp_path / "missing"))


def test_a_program_forks_on_a_full_disk(run_python: RunPython, tmp_path: Path, place: Path) -> None:
    """A store into a mapped page without space would kill it."""
    need(None if may_unshare() else "the right to make a mount namespace", "RERUN_MP_REQUIRE_FIELD")
    program, path = tmp_path / "full_disk.py", tmp_path / "run.rrd"
    program.write_text(FULL_DISK)
    run_python(*on_small_disks({place / "runtime": "256k"}, program, path), fresh=True).check()
    assert sorted(row.entity_path for row in checked_rows(path)) == ["child", "parent"]


def test_an_exception_of_the_program_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler may raise in the middle."""

    def handler(_: str) -> None:
        raise OSError("of the program")

    monkeypatch.setattr(rehearsal, "_rehearse_in", handler)
    with pytest.raises(OSError, match="of the program"):
        rehearse(str(tmp_path))
