"""Kills, exceptions and signals before a chosen instruction that a call executes in rerun_mp.

CPython calls a trace function before every instruction. `at_instruction` counts the instructions of the package's own
code, and runs an action before one of them, such as a kill or an exception. Tracing ends there.

Interrupts and forks need more care. CPython runs signal handlers, and switches threads, only where it checks for them:
at the beginning of a function, after calls, and at backward jumps. If a trace function raises, or sends itself a
signal, the exception comes before the instruction, where no real interrupt can come. `signal_at` sends the signal
*between* the trace function and the instruction, so that the interpreter handles it at its next check.

For tests only. Tracing affects one thread, and a forked child inherits it.
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
    """The instructions and functions executed so far."""

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
        No action if the block executes fewer instructions, or if it is None.
    action
        Called with the frame. Tracing has ended by then.
    counts
        Returns whether the instruction that a frame is about to execute counts.
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
    """Send this thread a signal before instruction `number`. Python handles it at its next check.

    The trace function is C's `raise`. ctypes asks `Signal` to convert its first argument, the frame, to a number. It is
    0, which is no signal, until the instruction is reached. No Python code runs between `raise` and the instruction.
    The ends of functions count too.
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
    """Return whether a frame is about to make a call, other than the `__exit__` of a context manager.

    The exception then seems to come from the call. No program can handle a lock whose release fails.
    """
    return frame.f_lasti in _calls(frame.f_code)


@cache
def _calls(code: CodeType) -> frozenset[int]:
    # Without an exception, `__exit__` is called with three constants.
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
