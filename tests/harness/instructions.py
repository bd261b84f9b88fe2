"""Something done between two instructions of the interpreter, at any one of those that a call executes in rerun_mp.

CPython tells a trace function of every instruction before it executes it. `at_instruction` counts those of the
package's own code and runs an action before one of them: a death, an exception. What follows is not traced any more.

Interrupts and forks need more care. CPython runs signal handlers, and switches threads, only where it looks for them:
as a function begins, after calls, and at backward jumps. A trace function that raises, or sends itself a signal, raises
before the instruction instead, where nobody can ever be interrupted. `signal_at` lets the signal come *between* the
trace function and the instruction, so that the interpreter finds it where it looks next.

Tests only. The tracing belongs to one thread; a forked child inherits it.
"""

from __future__ import annotations

import ctypes
import dis
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import CodeType, FrameType
from typing import Any

from tests.harness.programs import ROOT

__all__ = ["Trace", "at_instruction", "is_call", "signal_at"]

PACKAGE = str(ROOT / "rerun_mp") + "/"
Action = Callable[[FrameType], object]


class Trace:
    """What has been executed so far."""

    def __init__(self) -> None:
        self.instructions = 0
        self.functions: set[str] = set()
        """Qualified names."""


@contextmanager
def at_instruction(
    number: int | None, action: Action, *, counts: Callable[[FrameType], bool] = lambda _: True
) -> Iterator[Trace]:
    """Run `action` before instruction `number`, counted from 0, of the package's code, in the block's calls.

    Parameters
    ----------
    number
        Nothing happens if there are not so many, or if it is None.
    action
        Called with the frame. Nothing is traced any more.
    counts
        Which instructions count, by the frame that is about to execute one.
    """
    trace = Trace()

    def step(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        if event == "opcode" and counts(frame):
            trace.instructions += 1
            if trace.instructions - 1 == number:
                sys.settrace(None)
                action(frame)
        return step

    with _tracing(trace, step):
        yield trace


@contextmanager
def signal_at(number: int | None, sent: signal.Signals = signal.SIGINT) -> Iterator[Trace]:
    """Send this thread a signal before instruction `number`, which Python notices where it looks next.

    The trace function is C's `raise` itself. ctypes converts its first argument, the frame, by asking `Signal` for a
    number: that is 0, which is no signal, until the instruction has come. Between `raise` and the instruction no
    Python code runs. The ends of functions count too.
    """
    trace = Trace()

    class Signal(ctypes.c_int):
        @classmethod
        def from_param(cls, _: Any) -> ctypes.c_int:
            trace.instructions += 1
            if trace.instructions - 1 != number:
                return ctypes.c_int(0)
            sys.settrace(None)
            return ctypes.c_int(sent)

    class Ignored(ctypes.c_int):
        @classmethod
        def from_param(cls, _: Any) -> ctypes.c_int:
            return ctypes.c_int(0)

    send = ctypes.PyDLL(None)["raise"]
    send.argtypes = [Signal, Ignored, Ignored]
    send.restype = None
    with _tracing(trace, send):
        yield trace


@contextmanager
def _tracing(trace: Trace, step: Callable[..., Any]) -> Iterator[None]:
    def begin(frame: FrameType, _event: str, _: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        trace.functions.add(frame.f_code.co_qualname)
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return step

    sys.settrace(begin)
    try:
        yield
    finally:
        sys.settrace(None)


def is_call(frame: FrameType) -> bool:
    """Say whether a frame is about to call something, other than a context manager that it leaves.

    The exception then comes from the call. That a lock cannot be let go of is nothing that a program can mend.
    """
    return frame.f_lasti in _calls(frame.f_code)


@cache
def _calls(code: CodeType) -> frozenset[int]:
    # An `__exit__` without an exception is called with three constants.
    found, constants = set(), 0
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_CONST" and instruction.argval is None:
            constants += 1
            continue
        if instruction.opname == "PRECALL":
            continue
        if instruction.opname.startswith("CALL") and "INTRINSIC" not in instruction.opname and constants < 3:
            found.add(instruction.offset)
        constants = 0
    return frozenset(found)
