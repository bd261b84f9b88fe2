"""A user's program goes on after an exception in the middle of a call, at every place where one can come.

Usage: interrupted.py FILE HOW FIRST STRIDE CALL... Makes turn FIRST, FIRST + STRIDE and so on, until a turn's call
completes undisturbed. HOW is

- `signal`: SIGINT arrives before that instruction, and Python raises KeyboardInterrupt at its next check;
- the name of an exception: that function call inside the turn's call raises it.

After each turn this thread makes the call again, and so do another thread and its forked child. Then all slots are
sealed, and none may be open or locked. A turn that hangs ends the program with its stacks.

Prints a JSON object for each call: the last turn, its functions, and the interrupted turns. Then one with the totals of
the session's accounts and the leftovers.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import warnings
from contextlib import AbstractContextManager
from itertools import count
from types import FrameType

import rerun_mp as rr
from rerun_mp.session.waiting import wait_until
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Lock, SlotState
from tests.faults.programs.calls import CALLS
from tests.faults.programs.turns import (
    PATIENCE_SECS,
    end_stage,
    joined_session,
    log_step,
    rows_before,
    set_stage,
    what_is_left,
)
from tests.harness.instructions import Trace, at_instruction, is_call, signal_at

HANGS_SECS = 30.0


class ArbitraryError(Exception):
    """An exception that no code expects."""


IN_CHILDREN = ("first", "file")
"""Calls that must be the first of a process, or whose leftovers go away only at its end."""
EXCEPTIONS = {error.__name__: error for error in (KeyboardInterrupt, MemoryError, ArbitraryError)}


def main() -> None:
    """Make all turns of all calls."""
    path, how, first, stride, *names = sys.argv[1:]
    # `log` turns some exceptions into warnings.
    warnings.simplefilter("ignore")
    rr.init("rerun_mp_interrupted")
    rr.save(path)
    for name in names:
        before = rows_before(name)
        interrupted = []
        for at in count(int(first), int(stride)):
            faulthandler.dump_traceback_later(HANGS_SECS, exit=True)
            if name in IN_CHILDREN:
                trace, was_interrupted = in_child(name, at, before, how)
            else:
                trace, was_interrupted = interrupt(name, at, before, how)
                go_on(name, at, before)
            faulthandler.cancel_dump_traceback_later()
            if was_interrupted:
                interrupted.append(at)
            if trace.instructions <= at:
                print(
                    json.dumps(
                        {
                            "call": name,
                            "before": before,
                            "last": at,
                            "interrupted": interrupted,
                            "instructions": trace.instructions,
                            "functions": sorted(trace.functions),
                        }
                    ),
                    flush=True,
                )
                break
    print(json.dumps(what_is_left()))


def interrupt(name: str, at: int, before: int, how: str) -> tuple[Trace, bool]:
    """Make a turn's call. Returns its trace and whether it was interrupted."""
    log = set_stage(CALLS[name], f"{name}/{at}", at, before)
    trace = Trace()
    try:
        with interruption(how, at) as trace:
            log()
    except tuple(EXCEPTIONS.values()):
        return trace, True
    finally:
        end_stage(CALLS[name])
    return trace, False


def interruption(how: str, at: int) -> AbstractContextManager[Trace]:
    """Return the context manager that interrupts a call."""
    if how == "signal":
        return signal_at(at)

    def fail(_: FrameType) -> None:
        raise EXCEPTIONS[how](f"before call {at}")

    return at_instruction(at, fail, counts=is_call)


def in_child(name: str, at: int, before: int, how: str) -> tuple[Trace, bool]:
    """Make a turn in a forked child, as its first call."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        trace, was_interrupted = interrupt(name, at, before, how)
        go_on(name, at, before)
        os.write(writer, json.dumps([trace.instructions, sorted(trace.functions), was_interrupted]).encode())
        os._exit(0)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    trace = Trace()
    with open(reader, "rb") as pipe:
        trace.instructions, functions, was_interrupted = json.loads(pipe.read())
    trace.functions = set(functions)
    return trace, was_interrupted


def go_on(name: str, at: int, before: int) -> None:
    """Log in this thread, in another thread and in its child. Then check that no slot is open or locked."""
    call = CALLS[name]
    log_step(call, f"{name}/{at}", at, before + 1)
    joined_session().seal()

    def in_thread() -> None:
        log_step(call, f"{name}/{at}", at, before + 2)
        child = os.fork()
        if child == 0:
            log_step(call, f"{name}/{at}", at, before + 3)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        done.append(at)

    done: list[int] = []
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert done == [at]
    assert_nothing_is_open(f"{name}/{at}")
    assert_nothing_is_locked(f"{name}/{at}")


def assert_nothing_is_open(turn: str) -> None:
    """Seal all slots, and assert that this process holds none."""
    joined = joined_session()
    joined.seal()
    ring, producer = joined.segment.ring, joined._producer
    assert producer is not None

    def held() -> list[int]:
        # Parts of a chain become free when the collector frees their head.
        mine = ring.owner_slots(producer._registration.owner)
        return [slot for slot in mine if ring.states[slot] & 0xFF == SlotState.OPEN]

    if not wait_until(lambda: not held(), HANGS_SECS / 3, meanwhile=joined.ring_doorbell, every=0.0):
        lines = [[ring.words[ring.geometry.line_word(slot) + i] for i in range(6)] for slot in held()]
        raise AssertionError(f"{turn}: slots {held()} are open: {lines}")


def assert_nothing_is_locked(turn: str) -> None:
    """Assert that no lock of a slot is held."""
    joined = joined_session()
    ring = joined.segment.ring
    descriptor = joined.segment.open()
    locked = [slot for slot in range(ring.geometry.slots) if leases.is_held(descriptor, Lock.SLOTS + slot)]
    os.close(descriptor)
    assert not locked, f"{turn}: slots {locked} are locked"


if __name__ == "__main__":
    assert PATIENCE_SECS > HANGS_SECS
    main()
