"""Run something in the middle of a call, before a chosen instruction, as a signal handler or trace function would."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import Any

__all__ = ["interrupt", "raised_at_every_step"]

TOOL = 4
"""A tool of `sys.monitoring` that no debugger, coverage or profiler uses."""


def interrupt(call: Callable[[], object], where: object, step: int, action: Callable[[], object]) -> bool:
    """Run `call`, and `action` before instruction number `step` that runs in `where`. Returns whether it got so far.

    Parameters
    ----------
    where
        A function, or a class, for the instructions of all of its methods.
    """
    reached = -1

    def before_each() -> None:
        nonlocal reached
        if reached < step:
            reached += 1
            if reached == step:
                action()

    with (_monitored if hasattr(sys, "monitoring") else _traced)(_codes(where), before_each):
        call()
    return reached >= step


def raised_at_every_step(call: Callable[[], object], where: object, kind: type[Exception]) -> int:
    """Run `call` again and again; raise `kind` before another instruction in `where` each time. Returns how often.

    An exception of the program, which a signal handler or trace function raises there, must come out as it is.
    """

    def fail() -> None:
        raise kind("the program's")

    step = 0
    while True:
        try:
            if not interrupt(call, where, step, fail):
                return step
        except kind as error:
            if error.args != ("the program's",):
                raise
        else:
            raise AssertionError(f"the exception at step {step} did not come out")
        step += 1


@contextmanager
def _monitored(codes: set[CodeType], before_each: Callable[[], None]) -> Iterator[None]:
    monitoring: Any = getattr(sys, "monitoring")  # noqa: B009 (Python 3.12; the checker knows 3.11)
    event = monitoring.events.INSTRUCTION
    monitoring.use_tool_id(TOOL, __name__)
    monitoring.register_callback(TOOL, event, lambda *_: before_each())
    for code in codes:
        monitoring.set_local_events(TOOL, code, event)
    try:
        yield
    finally:
        for code in codes:
            monitoring.set_local_events(TOOL, code, 0)
        monitoring.register_callback(TOOL, event, None)
        monitoring.free_tool_id(TOOL)


@contextmanager
def _traced(codes: set[CodeType], before_each: Callable[[], None]) -> Iterator[None]:
    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code not in codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            sys.settrace(None)
            before_each()
            sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _codes(where: object) -> set[CodeType]:
    if isinstance(where, FunctionType):
        return {where.__code__}
    return {value.__code__ for value in vars(where).values() if isinstance(value, FunctionType)}
