"""A share of the participants lock counts if a live process holds it, and not while that of a dead one lingers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.session import participants
from rerun_mp.session.participants import Participants
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Lock
from rerun_mp.shm.segment import DIRECTORY
from tests.conftest import StartPython
from tests.harness.recordings import count_rows, verify
from tests.harness.sessions import SessionWatch


@pytest.fixture
def probe() -> Iterator[int]:
    """Open a file of shared memory that has a participants lock."""
    path = Path(DIRECTORY, f"rmp-test-participants-{os.getpid()}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(descriptor, 1 << 16)
        yield descriptor
    finally:
        os.close(descriptor)
        path.unlink()


def take_share(descriptor: int) -> int:
    """Take a share by a descriptor that nothing maps, as a dead process's share that the kernel has not dropped yet."""
    own = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
    assert leases.try_lock(own, Lock.PARTICIPANTS, shared=True)
    return own


def test_a_process_with_a_lease_is_a_participant_at_once(probe: int) -> None:
    others = Participants()
    assert not others.remain(probe)
    (told, tell), (ended, end) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        leases.Lease.keep(take_share(probe), inherited=True)
        os.write(tell, b"x")
        os.close(end)
        os.read(ended, 1)
        os._exit(0)
    os.read(told, 1)
    assert others.remain(probe)
    for descriptor in (end, ended, told, tell):
        os.close(descriptor)
    os.waitpid(child, 0)
    assert not Participants().remain(probe)


def test_a_share_that_no_process_holds_counts_after_a_while(probe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may belong to a process that /proc does not show here."""
    share, others = take_share(probe), Participants()
    assert not others.remain(probe)
    assert not others.remain(probe)
    monkeypatch.setattr(participants, "LINGER_SECS", 0.0)
    assert others.remain(probe)
    os.close(share)
    assert not others.remain(probe)


LEAVING = """
import sys
import rerun_mp as rr
from rerun_mp.session import kinship
from rerun_mp.session.participants import Participants
rr.init("rerun_mp_leaving")
rr.save(sys.argv[1])
rr.log("a", rr.Scalars([1.0]))
remain, looks = Participants.remain, []
def look(self, descriptor):
    looks.append(remain(self, descriptor))
    if len(looks) == 2:
        print("waits", flush=True)
    return looks[-1]
Participants.remain = look
print("logged", flush=True)
open(sys.argv[2]).read()
"""


def test_a_program_waits_while_the_share_of_a_dead_process_lingers(start_python: StartPython, tmp_path: Path) -> None:
    """It ended at once, before its file was complete."""
    path, go, watch = tmp_path / "out.rrd", tmp_path / "go", SessionWatch()
    os.mkfifo(go)
    program = start_python(LEAVING, path, go, env=watch.environment)
    program.wait_for_output("logged")
    segment = os.open(watch.segment, os.O_RDWR)
    share = take_share(segment)
    go.write_bytes(b"")
    program.wait_for_output("waits")
    os.close(share)
    os.close(segment)
    program.wait().check()
    verify(path)
    assert count_rows(path) == {"a": 1}
