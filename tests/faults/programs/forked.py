"""A user's program: a signal handler forks in the middle of a call, at every place where a handler can run.

Usage: forked.py FILE FIRST STRIDE CALL... In turn FIRST, FIRST + STRIDE and so on, SIGUSR1 arrives before that
instruction of the turn's call, and the handler forks at Python's next check for signals. Both processes complete the
call and log another row, and must then hold no slot. A turn that hangs ends the program with its stacks.

Prints a JSON object for each call: the last turn and the number of forks. Then one with the totals of the session's
accounts and the leftovers.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from types import FrameType

import rerun_mp as rr
from tests.faults.programs.calls import CALLS, Call
from tests.faults.programs.interrupted import HANGS_SECS, assert_nothing_is_locked, assert_nothing_is_open
from tests.faults.programs.turns import PATIENCE_SECS, end_stage, log_step, rows_before, set_stage, what_is_left
from tests.harness.instructions import Trace, signal_at

IN_CHILDREN = ("first",)
"""Calls that must be the first call of a process."""


def main() -> None:
    """Make all turns of all calls."""
    path, first, stride, *names = sys.argv[1:]
    rr.init("rerun_mp_forked")
    rr.save(path)
    for name in names:
        before = rows_before(name)
        forks = 0
        for at in count(int(first), int(stride)):
            faulthandler.dump_traceback_later(HANGS_SECS, exit=True)
            turn = in_child if name in IN_CHILDREN else fork_in
            instructions, functions, forked = turn(CALLS[name], f"{name}/{at}", at, before)
            faulthandler.cancel_dump_traceback_later()
            forks += forked
            if instructions <= at:
                report = {"call": name, "before": before, "last": at, "forks": forks, "functions": sorted(functions)}
                print(json.dumps(report), flush=True)
                break
    print(json.dumps(what_is_left()))


def fork_in(call: Call, path: str, at: int, before: int) -> tuple[int, set[str], bool]:
    """Make a turn's call. Returns its number of instructions, its functions, and whether it forked."""
    children: list[int] = []

    def fork(_number: int, _frame: FrameType | None) -> None:
        children.append(os.fork())

    signal.signal(signal.SIGUSR1, fork)
    log = set_stage(call, path, at, before)
    trace = in_both(log, at)
    end_stage(call)
    if children == [0]:
        log_step(call, path, at, before + 2)
        assert_nothing_is_open(path)
        os._exit(0)
    log_step(call, path, at, before + 1)
    assert_nothing_is_open(path)
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, path
    assert_nothing_is_locked(path)
    return trace.instructions, trace.functions, bool(children)


def in_both(log: Callable[[], object], at: int) -> Trace:
    """Make the call. After a fork in its middle, both processes return."""
    with signal_at(at, signal.SIGUSR1) as trace:
        log()
    return trace


def in_child(call: Call, path: str, at: int, before: int) -> tuple[int, set[str], bool]:
    """Make a turn in a forked child, as its first call."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        instructions, functions, forked = fork_in(call, path, at, before)
        os.write(writer, json.dumps([instructions, sorted(functions), forked]).encode())
        os._exit(0)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, path
    with open(reader, "rb") as pipe:
        instructions, functions, forked = json.loads(pipe.read())
    return instructions, set(functions), forked


if __name__ == "__main__":
    assert PATIENCE_SECS > HANGS_SECS
    main()
