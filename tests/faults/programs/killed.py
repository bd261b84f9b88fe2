"""A user's program whose workers die in the middle of a call, each before another instruction of the interpreter.

Usage: killed.py FILE FIRST STRIDE CALL... For each call of `calls.CALLS` a worker is forked for instruction FIRST,
FIRST + STRIDE and so on, until one reaches the call's end. It logs rows that return, and is killed in the next one.
Meanwhile this process logs a row of its own.

Prints a JSON object for each call: how many workers died, which functions the last one ran. And one for the end: what
the session's accounts say when all of the dead have been cleared away, and what is left of them.
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
from tests.faults.programs.turns import rows_before, set_stage, what_is_left
from tests.harness.instructions import at_instruction


def main() -> None:
    """Fork and kill."""
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
    """Run one worker. Returns how it ended, and what it said if it came to its end."""
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
    with open(reader, "rb") as pipe:
        return status, json.loads(pipe.read() or "{}")


def die(_: FrameType) -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
