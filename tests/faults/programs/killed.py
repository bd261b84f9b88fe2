"""A user's program: its workers die in the middle of a call, each before another instruction of the interpreter.

Usage: killed.py FILE FIRST STRIDE CALL... For each CALL of `calls.CALLS` a worker is forked for instruction FIRST,
FIRST + STRIDE and so on, until a worker completes the call. Each worker logs rows that return, and is killed in the
next call. Meanwhile this process logs a row of its own.

Prints a JSON object for each call: the last turn, and the functions that it ran. When the collector has cleared up
after all dead workers, prints one with the totals of the session's accounts and the leftovers.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from itertools import count
from types import FrameType
from typing import Any

import rerun_mp as rr
from tests.faults.programs.calls import CALLS
from tests.faults.programs.turns import end_stage, rows_before, set_stage, what_is_left
from tests.harness.instructions import at_instruction


def main() -> None:
    """Fork the workers of all calls, one after another."""
    path, first, stride, *names = sys.argv[1:]
    rr.init("rerun_mp_killed")
    rr.save(path)
    for name in names:
        before = rows_before(name)
        for at in count(int(first), int(stride)):
            status, report = fork_one(name, at, before)
            if status != -signal.SIGKILL:
                assert status == 0, status
                print(json.dumps({"call": name, "before": before, "last": at, **report}), flush=True)
                break
    print(json.dumps(what_is_left()))


def fork_one(name: str, at: int, before: int) -> tuple[int, dict[str, Any]]:
    """Run one worker. Returns its exit code, and its report unless it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        log = set_stage(CALLS[name], f"{name}/{at}", at, before)
        with at_instruction(at, die) as trace:
            log()
        report = {"instructions": trace.instructions, "functions": sorted(trace.functions)}
        os.write(writer, json.dumps(report).encode())
        os._exit(0)
    os.close(writer)
    rr.set_time("step", sequence=at)
    rr.log(f"beside/{name}", rr.Scalars(float(at)))
    rr.reset_time()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    end_stage(CALLS[name])
    with open(reader, "rb") as pipe:
        return status, json.loads(pipe.read() or "{}")


def die(_: FrameType) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
