"""Collectors die before an instruction of their life, each session's before another one, and are resumed.

Usage: worker_steps.py DIRECTORY FIRST STRIDE [rotating | append | resume]. For each session a child founds it, kills
its collector, logs, and dies. Then this process, which is no participant, runs workers on the segment one after
another, in forked children.
The first is killed before instruction FIRST, FIRST + STRIDE and so on of the package's code, while it resumes, sweeps,
stores, completes the file or removes the session. In every second session the next worker dies too. The last worker
completes the session. The program ends when a first worker lives to the session's end.

Writes DIRECTORY/AT.rrd for each session; with `rotating` the file's parts, while each sweep takes one slot and the next
one follows at once; with the other modes it adds to a copy of DIRECTORY/former.rrd. Prints a JSON object for each: the
instructions at which its workers died.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType

import rerun_mp as rr
from rerun_mp.collector import pipeline, worker
from rerun_mp.collector.drain import sweep
from rerun_mp.session.waiting import wait_until
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Header, Lock
from tests.faults.programs.calls import CALLS, SMALL_RING_BYTES
from tests.faults.programs.turns import PATIENCE_SECS, joined_session, log_step
from tests.harness.instructions import at_instruction

ENVIRONMENT = {"RERUN_MP_RING_BYTES": str(SMALL_RING_BYTES), "RERUN_MP_PRODUCERS": "8"}
"""Few slots and producers, so that few instructions belong to loops over unused entries."""
LOGGED = ("number", "levelled_text", "frame", "first_chain", "file")
ROWS = 3


def main() -> None:
    """Make sessions until a first worker reaches the end."""
    os.environ.update(ENVIRONMENT)
    directory, first, stride, way = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), "".join(sys.argv[4:])
    if way == "rotating":
        sweep.MAX_SWEEP_BYTES = 1
        pipeline.MIN_CHUNK_BYTES_AHEAD = 0
    rng = random.Random(first)
    for at in count(first, stride):
        path, nonce = found(directory / f"{at}.rrd", at, way)
        deaths: list[int | None] = [at, rng.randrange(at + 1), None] if at // stride % 2 else [at, None]
        died = []
        for number in deaths:
            if not run_worker(path, nonce, number):
                break
            died.append(number)
        assert not os.path.exists(path)
        print(json.dumps({"at": at, "died": died}), flush=True)
        if not died:
            break


def found(file: Path, at: int, way: str) -> tuple[str, str]:
    """Let a child found a session, log and die. Returns the segment's path and nonce."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        rr.init("rerun_mp_worker_steps")
        if way in ("append", "resume"):
            shutil.copy(file.with_name("former.rrd"), file)
            rr.save(file, mode="resume" if way == "resume" else "append")
        else:
            rr.save(file, rotate=rr.Rotation(bytes=4096) if way else None)
        segment = joined_session().segment
        end_collector()
        for name in LOGGED:
            for step in range(ROWS):
                log_step(CALLS[name], f"{name}/{at}", at, step)
        os.write(writer, json.dumps([segment.path, segment.nonce.hex()]).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with open(reader, "rb") as pipe:
        path, nonce = json.loads(pipe.read())
    return path, nonce


def end_collector() -> None:
    """Kill this session's collector, and keep the guard's lease, so that no other starts while this process lives."""
    segment = joined_session().segment
    words, descriptor = segment.ring.words, segment.open()
    # The worker takes its lease before it stores its pid. Killing pid 0 would kill this process's own group.
    assert wait_until(lambda: words[Header.WORKER_PID] != 0, PATIENCE_SECS)
    # A stopped worker starts no other guard.
    os.kill(words[Header.WORKER_PID], signal.SIGSTOP)
    os.kill(words[Header.GUARD_PID], signal.SIGKILL)
    assert wait_until(lambda: leases.try_lock(descriptor, Lock.GUARD), PATIENCE_SECS)
    os.kill(words[Header.WORKER_PID], signal.SIGKILL)
    assert wait_until(lambda: not leases.is_held(descriptor, Lock.WORKER), PATIENCE_SECS)


def run_worker(path: str, nonce: str, number: int | None) -> bool:
    """Run a worker that dies before instruction `number`. Returns whether it died there."""
    child = os.fork()
    if child == 0:
        if number is None:
            os._exit(worker.main(path, nonce))
        with at_instruction(number, die):
            os._exit(worker.main(path, nonce))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def die(_: FrameType) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
