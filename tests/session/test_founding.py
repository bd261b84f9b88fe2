"""A session is founded once, and its ring shrinks to the room that there is."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from rerun_mp.session import founding
from rerun_mp.session.identity import Identity
from rerun_mp.settings import Settings
from rerun_mp.shm import leases, segment
from rerun_mp.shm.layout import Lock
from tests.conftest import RunPython, StartPython
from tests.harness.programs import COMMAND
from tests.harness.sessions import SessionWatch

pytestmark = pytest.mark.real_collectors

GIB = 1 << 30


@pytest.fixture
def free_bytes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Set how much is free in /dev/shm, and the limit for files."""
    machine = {"free": GIB, "limit": resource.RLIM_INFINITY}
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=machine["free"] // 4096, f_frsize=4096))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (machine["limit"], machine["limit"]))
    return machine


def test_a_name_without_a_segment_is_no_session() -> None:
    assert founding.join(Identity(os.urandom(32), f"{segment.DIRECTORY}/rmp-none")) is None


def test_with_room_the_settings_decide(free_bytes: dict[str, int]) -> None:
    geometry = founding.geometry_for(Settings(ring_bytes=256 << 20, slot_bytes=1 << 20, producers=100))
    assert (geometry.slot_bytes, geometry.slots, geometry.producers) == (1 << 20, 256, 100)
    assert free_bytes["free"] == GIB


def test_a_ring_takes_at_most_half_of_the_free_memory(free_bytes: dict[str, int]) -> None:
    free_bytes["free"] = 64 << 20
    geometry = founding.geometry_for(Settings(ring_bytes=128 << 20, producers=100_000))
    assert geometry.slot_bytes * geometry.slots == 32 << 20
    assert geometry.slots >= founding.MIN_FULL_SIZE_SLOTS
    assert geometry.producers < 100_000


def test_a_limit_for_files_counts_as_room(free_bytes: dict[str, int]) -> None:
    free_bytes["limit"] = 16 << 20
    geometry = founding.geometry_for(Settings(ring_bytes=128 << 20))
    assert geometry.slot_bytes * geometry.slots == 8 << 20


def test_a_tiny_ring_has_small_slots_and_enough_of_them(free_bytes: dict[str, int]) -> None:
    free_bytes["free"] = 64 << 10
    geometry = founding.geometry_for(Settings())
    assert geometry.slot_bytes == founding.MIN_SLOT_BYTES
    assert geometry.slots == segment.MIN_SLOTS
    assert geometry.producers == founding.MIN_PRODUCERS


LOGGING = """\
    import os, signal, sys
    import rerun_mp as rr
    rr.init("rerun_mp_founding")
    rr.save(sys.argv[1])
    rr.log("row", rr.TextLog("x"))
    print(os.environ["RERUN_MP_SESSION"], flush=True)
    signal.pause()
"""
JOINING = """\
    import rerun_mp as rr
    from rerun_mp.session import founding
    founding.ENDING_TIMEOUT_SECS = 0.5
    try:
        rr.init("rerun_mp_founding")
    except rr.SessionError as error:
        print(error)
"""


def test_a_named_session_whose_end_hangs_is_waited_for_in_vain(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """Its worker, which is ending it, was stopped after it had locked the participants' byte."""
    watch = SessionWatch()
    program = start_python(LOGGING, tmp_path / "out.rrd", env=watch.environment)
    program.wait_for_output("\n")
    watch.collector("guard")
    watch.kill_everything(program)
    ending = os.open(watch.segment, os.O_RDWR)
    try:
        assert leases.try_lock(ending, Lock.PARTICIPANTS)
        done = run_python(JOINING, env={"RERUN_MP_SESSION": program.stdout.strip()}).check()
    finally:
        os.close(ending)
    assert done.stdout == (f"the session at {watch.segment} neither lives nor ends; remove that file if it is unused\n")
    run_python(COMMAND, "recover").check()
