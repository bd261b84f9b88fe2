"""A process scribbles over a live session's segment while the real collector drains what another one logs.

The scribbler is a registered producer that has lost its mind: it claims slots and writes anything anywhere into them
and into their control lines, over the header's words that only the collector writes or that are read once, and over
entries of the producers table that nobody has. What it leaves alone is what others own: so all of that must arrive.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import StartPython
from tests.harness.programs import wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch, is_running

HONEST = """
import json, os, sys, time
import numpy as np
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.session.accounts import read_accounts
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_scribbled")
rr.save(sys.argv[1])
rr.log("begun", rr.Scalars(0.0))
rr.flush()
print("begun", flush=True)
while not os.path.exists(sys.argv[3]):
    time.sleep(0.01)
points = np.arange(300, dtype=np.float32).reshape(-1, 3)
steps = int(sys.argv[2])
for step in range(steps):
    rr.set_time("step", sequence=step)
    rr.log("scalar", rr.Scalars(float(step)))
    rr.log("text", rr.TextLog(f"text {step}"))
    rr.log("points", rr.Points3D(points))
    rr.log("frame", rr.Boxes3D(half_sizes=[[1, 1, step]]))
    if step % 50 == 0:
        rr.log("image", rr.Image(np.full((200, 200, 3), step % 256, np.uint8)))
    if step % 20 == 0:
        time.sleep(0.002)
print("logged", flush=True)
# The scribbler also writes over the word that tells producers how far the store is: so not `flush`.
joined = current.session()
joined.seal()
mine = joined._producer.index
def account():
    return next(a for a in read_accounts(joined.segment) if a.index == mine and a.is_live)
while account().delivered < 1 + 4 * steps + -(-steps // 50):
    joined.ring_doorbell()
    time.sleep(0.01)
words = joined.segment.ring.words
print(json.dumps([account().delivered, account().dropped_by_damage]), flush=True)
"""

SCRIBBLER = """
import os, random, sys, time
from io import FileIO
from rerun_mp.producer.registration import Registration
from rerun_mp.shm import segment
from rerun_mp.shm.layout import Header, Kind, Line, SlotState
from rerun_mp.shm.segment import ClaimLocks
from rerun_mp.shm.writer import SlotWriter

path, seed, end = sys.argv[1], int(sys.argv[2]), sys.argv[3]
joined = segment.attach(path)
ring, geometry, rng = joined.ring, joined.ring.geometry, random.Random(seed)
words, size = ring.words, geometry.slot_bytes
alive = memoryview(bytearray([1]))
mine = Registration.take(joined, lambda attempt: time.sleep(0.001), 1, alive, 0)
writer = SlotWriter(ring, mine.owner, alive, 0)
extremes = (0, 1, 2, 3, 8, 255, 65536, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
collectors = (Header.SWEEP_DONE, Header.ATTENTION, Header.FREE_SLOTS, Header.WORKER_PID, Header.SESSION_STATE,
              Header.WORKER_LIVES, Header.DAMAGED_SLOTS, Header.NONCE_LOW, Header.RUNTIME_DIRECTORY // 8,
              Header.SPOOL_DIRECTORY // 8, Header.SPOOL_DIRECTORY // 8 + 2)
lines = (Line.COUNT, Line.COUNT, Line.COUNT, Line.EPOCH, Line.TAKEN_A, Line.TAKEN_B, Line.KIND, Line.ROWS)
genuine = [bytes(ring.memory[geometry.slot_offset(s) : geometry.slot_offset(s + 1)]) for s in range(2)]
genuine = [slot.replace(b"/begun", b"/forge") for slot in genuine]
print("joined", flush=True)
# Whoever joins may find that what says where the session lives has been written over this very moment.
while not os.path.exists(sys.argv[4]):
    time.sleep(0.001)
given = kept = 0
while not os.path.exists(end):
    with FileIO(joined.open(), "r+") as file:
        locks = ClaimLocks(joined, file.fileno())
        kinds = [rng.choice((Kind.FRAMES, Kind.HEAD, Kind.PART, Kind.TABLE)) for _ in range(rng.randrange(1, 5))]
        slots = writer.claim(kinds, rng.randrange(geometry.slots), locks.lock, locks.reserve)
    for slot in slots:
        # Mostly what a producer once wrote, with damage: rubbish alone would not get far. Never what was there, rows
        # that have been delivered.
        content = rng.choice(genuine) if rng.random() < 0.7 else bytes(size)
        ring.memory[geometry.slot_offset(slot) : geometry.slot_offset(slot + 1)] = content
    for _ in range(rng.randrange(60)):
        if not slots:
            time.sleep(0.001)
            break
        slot = rng.choice(slots)
        if rng.random() < 0.5:
            at = geometry.slot_offset(slot) + rng.choice((0, 8, size * 3 // 4, rng.randrange(0, size - 8, 4)))
            ring.memory[at : at + 8] = rng.choice(extremes).to_bytes(8, "little")
        else:
            words[geometry.line_word(slot) + rng.choice(lines)] = rng.choice((*extremes, rng.randrange(size)))
    if rng.random() < 0.3:
        words[rng.choice(collectors)] = rng.choice(extremes)
    if rng.random() < 0.1:
        # Only entries that nobody has: those of others are as much theirs as their slots.
        entry = geometry.producer_word(rng.randrange(32, geometry.producers))
        words[entry + rng.randrange(8)] = rng.choice(extremes)
    for slot in slots:
        state = rng.choice((*[SlotState.SEALED] * 18, SlotState.ABANDONED))
        if kept < 8 and rng.random() < 0.05:
            # A state that there is not: for all that anybody can know, the slot is ours until we are dead.
            state, kept = 77, kept + 1
        ring.states[slot] = mine.owner | state
        given += 1
print("gave", given, flush=True)
"""


@pytest.mark.parametrize(
    ("steps", "seeds"), [(1000, (1,)), pytest.param(20_000, (2, 3), marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_what_others_own_arrives_whatever_a_scribbler_does(
    steps: int, seeds: tuple[int, ...], start_python: StartPython, tmp_path: Path
) -> None:
    """No row of the honest producer is lost, doubled or counted as damaged, and the session ends as others do."""
    path, go, end = tmp_path / "out.rrd", tmp_path / "go", tmp_path / "end"
    watch = SessionWatch()
    env = {
        **watch.environment,
        "RERUN_MP_RING_BYTES": str(64 * 65536),
        "RERUN_MP_SLOT_BYTES": "65536",
        "RERUN_MP_PRODUCERS": "64",
    }
    honest = start_python(HONEST, path, str(steps), go, env=env)
    honest.wait_for_output("begun")
    worker = watch.collector("worker")
    scribblers = [start_python(SCRIBBLER, watch.segment, str(seed), end, go, env=env) for seed in seeds]
    for scribbler in scribblers:
        scribbler.wait_for_output("joined")
    go.touch()
    honest.wait_for_output("[", timeout_secs=150.0)
    assert is_running(worker), "the worker that began is the one that has drained it all"
    end.touch()
    for scribbler in scribblers:
        done = scribbler.wait().check()
        assert int(done.stdout.split()[-1]) > 0
    done = honest.wait().check()
    wait_until(lambda: not any(watch.collectors().values()), timeout_secs=60.0, what="the end of the session")
    expected = dict.fromkeys(("scalar", "text", "points", "frame"), steps) | {"image": -(-steps // 50), "begun": 1}
    assert json.loads(done.stdout.splitlines()[-1]) == [sum(expected.values()), 0]
    verify(path)
    rows = [row for row in rows_of(path) if row.entity_path in expected]
    assert Counter(row.entity_path for row in rows) == expected
    twice = [row_id for row_id, number in Counter(row.row_id for row in rows).items() if number > 1]
    assert [row for row in rows if row.row_id in twice] == []
    steps_of_scalars = sorted(row.times["step"] for row in rows if row.entity_path == "scalar")
    assert steps_of_scalars == list(range(steps))


WRITTEN_OVER = """
import json, os, sys
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header, PAGE

rr.init("rerun_mp_written_over")
rr.save(sys.argv[1])
rr.log("value", rr.Scalars(0.0))
rr.flush()
memory = current.session().segment.ring.memory
print("begun", flush=True)
open(sys.argv[2]).read()
for part in ((0, 13 * 8), (1024, PAGE)):
    memory[slice(*part)] = os.urandom(part[1] - part[0])
print("written over", flush=True)
open(sys.argv[2]).read()
for step in range(1, 100):
    rr.log("value", rr.Scalars(float(step)))
rr.flush()
if os.fork() == 0:
    rr.log("child", rr.Scalars(0.0))
    os._exit(0)
os.wait()
"""


def test_a_collector_is_replaced_though_the_header_was_written_over(start_python: StartPython, tmp_path: Path) -> None:
    """What only the creator writes is put back by whoever starts a collector, who remembers it: so it finds its way."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    program = start_python(WRITTEN_OVER, path, fifo, env=watch.environment)
    program.wait_for_output("begun")
    watch.stop("guard", "worker")
    fifo.write_bytes(b"")
    program.wait_for_output("written over")
    watch.kill("guard", "worker")
    fifo.write_bytes(b"")
    program.wait(timeout_secs=60.0).check()
    wait_until(lambda: not any(watch.collectors().values()), timeout_secs=60.0, what="the end of the session")
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {"value": 100, "child": 1}
