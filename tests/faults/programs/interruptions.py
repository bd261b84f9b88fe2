"""A program whose `log` calls are interrupted by everything that Python offers; prints what it logged as JSON.

Usage: interruptions.py FILE SCENE CALLS. Rows are `Scalars` or texts that say their number, each number once.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count, product
from types import FrameType
from typing import Any

import rerun_mp as rr

numbers = count()
"""The next number to log."""
returned: list[int] = []
"""Numbers that were logged: their calls have returned."""
raised: list[str] = []
"""Names of the exceptions that came out of calls."""
sent: list[str] = []
"""Names of the exceptions that handlers have raised."""


def say(number: int, how: int = 0) -> None:
    """Log a number, one way or another."""
    if how % 3 == 0:
        rr.log("number", rr.Scalars(float(number)))
    elif how % 3 == 1:
        rr.log("text", rr.TextLog(str(number)))
    else:
        rr.log("level", rr.TextLog(str(number), level="INFO"))


def log_next(how: int = 0) -> None:
    """Log the next number, and note that the call has returned."""
    number = next(numbers)
    say(number, how)
    returned.append(number)


# ---- collections at any allocation -----------------------------------------------------------------------------------


class Loud:
    """Cyclic garbage that logs when it is collected."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        log_next(1)


class Sliced:
    """Logs inside `__getitem__`, where the slice that it is given has just been allocated."""

    def __getitem__(self, key: slice) -> None:
        log_next(1)


def collections(calls: int) -> None:
    """Log with the usual thresholds, then with a collection at every allocation."""
    sliced = Sliced()
    for number in range(calls):
        Loud()
        sliced[number : number + 1]
    gc.set_threshold(1)
    for number in range(calls // 10):
        Loud()
        log_next(number)
    gc.set_threshold(700)
    gc.collect()


# ---- tracing ---------------------------------------------------------------------------------------------------------


def in_threads(target: Callable[[int], None], calls: int, threads: int = 4) -> None:
    """Have several threads call `target`."""

    def work() -> None:
        for number in range(calls):
            target(number)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def traced(calls: int) -> None:
    """Log from several threads while each line is traced."""
    sys.setswitchinterval(1e-6)

    def trace(_: FrameType, __: str, ___: object) -> Callable[..., Any]:
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
    in_threads(log_next, calls // 4)
    sys.settrace(None)
    threading.settrace(None)


def profiled(calls: int) -> None:
    """Log from several threads while each call is profiled."""
    sys.setswitchinterval(1e-6)
    threading.setprofile(lambda *_: None)
    in_threads(log_next, calls // 4)
    threading.setprofile(None)


def monitored(calls: int) -> None:
    """Log from several threads while each line and instruction is monitored (Python 3.12)."""
    sys.setswitchinterval(1e-6)
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None:
        events = monitoring.events.LINE | monitoring.events.INSTRUCTION
        monitoring.use_tool_id(3, "rerun_mp tests")
        monitoring.register_callback(3, monitoring.events.LINE, lambda *_: None)
        monitoring.register_callback(3, monitoring.events.INSTRUCTION, lambda *_: None)
        monitoring.set_events(3, events)
    in_threads(log_next, calls // 4)
    if monitoring is not None:
        monitoring.set_events(3, 0)
        monitoring.free_tool_id(3)


def tracing(action: Callable[[], object], every: int) -> Callable[..., Any]:
    """Return a trace function that calls `action` before every so many instructions of the package's code."""
    steps = count(1)
    is_acting = False

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal is_acting
        name = str(frame.f_globals.get("__name__"))
        if is_acting or not name.startswith("rerun_mp"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and next(steps) % every == 0:
            is_acting = True
            try:
                action()
            finally:
                is_acting = False
        return trace

    return trace


def tracer_that_logs(calls: int) -> None:
    """Log from a trace function in the middle of calls."""
    sys.settrace(tracing(lambda: log_next(next(numbers_of_action)), 53))
    for number in range(calls):
        log_next(number)
    sys.settrace(None)


numbers_of_action = count()


def tracer_that_forks(calls: int) -> None:
    """Fork from a trace function in the middle of calls; each child finishes its call, logs once more, and dies."""
    parent, children = os.getpid(), []

    def fork() -> None:
        pid = os.fork()
        if pid:
            children.append(pid)
        else:
            sys.settrace(None)  # or the children would fork, too

    sys.settrace(tracing(fork, 211))
    for number in range(calls):
        log_next(number)
        if os.getpid() != parent:
            rr.log("child", rr.Scalars(float(os.getpid())))
            os._exit(0)
    sys.settrace(None)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    print(json.dumps({"children": len(children)}), file=sys.stderr)


class AtStepError(Exception):
    """Raised by a trace function."""


def exception_at_every_step(calls: int) -> None:
    """Raise at each instruction of calls in turn, and log again afterwards."""
    for how in range(3):
        log_next(how)
        for at in range(calls):
            steps = count()

            def trace(
                frame: FrameType, event: str, _: object, at: int = at, steps: Iterator[int] = steps
            ) -> Callable[..., Any] | None:
                if not str(frame.f_globals.get("__name__")).startswith("rerun_mp"):
                    return None
                frame.f_trace_opcodes = True
                if event == "opcode" and next(steps) == at:
                    sent.append("AtStepError")
                    raise AtStepError
                return trace

            sys.settrace(trace)
            try:
                log_next(how)
            except AtStepError:
                raised.append("AtStepError")
            finally:
                sys.settrace(None)
            log_next(how)


class RefusedError(OSError):
    """Raised by a trace function; a kind of error that a fork in the middle of a call causes, too."""


def first_call_at_every_step(calls: int) -> None:
    """In children, raise at each instruction of the session in their first call, and log again afterwards."""
    for at in range(calls):
        number = [next(numbers), next(numbers)]
        reader, writer = os.pipe()
        if os.fork() == 0:
            told = interrupt_first_call(number, at)
            os.write(writer, json.dumps(told).encode())
            os._exit(0)
        os.close(writer)
        with open(reader, encoding="ascii") as pipe:
            told = json.loads(pipe.read())
        os.wait()
        sent.extend(told["sent"])
        raised.extend(told["raised"])
        returned.extend(told["returned"])


def interrupt_first_call(number: list[int], at: int) -> dict[str, list[Any]]:
    """Log two numbers, and interrupt the first call. Returns the exceptions and the numbers that were logged."""
    told: dict[str, list[Any]] = {"sent": [], "raised": [], "returned": []}
    steps = count()

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_globals.get("__name__") != "rerun_mp.session.session":
            return trace
        frame.f_trace_opcodes = True
        if event == "opcode" and next(steps) == at:
            told["sent"].append("RefusedError")
            raise RefusedError
        return trace

    sys.settrace(trace)
    try:
        rr.log("number", rr.Scalars(float(number[0])), strict=True)
        told["returned"].append(number[0])
    except RefusedError:
        told["raised"].append("RefusedError")
    finally:
        sys.settrace(None)
    say(number[1])
    told["returned"].append(number[1])
    return told


# ---- signal handlers -------------------------------------------------------------------------------------------------


class OwnTimeoutError(OSError):
    """An exception of the program's, of a kind that the system's errors have, too."""


KINDS: list[type[Exception]] = [KeyError, TypeError, AttributeError, ValueError, OSError, TimeoutError, OwnTimeoutError]


def log_until_interrupted(how: int) -> None:
    """Log until a handler raises; return if its exception does not come out."""
    before = len(sent)
    while len(sent) == before:
        log_next(how)


def raising_handlers(calls: int) -> None:
    """Log while a timer's handler raises exceptions of every kind."""
    kinds = count()

    def handler(_: int, __: FrameType | None) -> None:
        kind = KINDS[next(kinds) % len(KINDS)]
        sent.append(kind.__name__)
        raise kind("the program's own")

    signal.signal(signal.SIGALRM, handler)
    for number in range(calls):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0003 + 0.000013 * (number % 97))
            log_until_interrupted(number)
            raised.append("swallowed")
        except tuple(KINDS) as error:
            raised.append(type(error).__name__)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def logging_handlers(calls: int) -> None:
    """Log while a timer's handler logs."""
    is_armed = False

    def handler(_: int, __: FrameType | None) -> None:
        nonlocal is_armed
        log_next(next(numbers_of_action))
        is_armed = False  # one signal at a time, so that handlers do not pile up on a busy machine

    signal.signal(signal.SIGALRM, handler)
    for number in range(calls):
        if not is_armed:
            is_armed = True
            signal.setitimer(signal.ITIMER_REAL, 0.00003 + 0.000001 * (number % 97))
        log_next(number)
    signal.setitimer(signal.ITIMER_REAL, 0)


# ---- greenlets and clocks --------------------------------------------------------------------------------------------


def greenlets(calls: int) -> None:
    """Switch to another greenlet, which logs, in the middle of calls."""
    from greenlet import getcurrent, greenlet

    main = getcurrent()

    def work() -> None:
        while True:
            log_next(next(numbers_of_action))
            main.switch()

    others = [greenlet(work) for _ in range(3)]
    sys.settrace(tracing(lambda: others[next(numbers_of_action) % 3].switch(), 97))  # noqa: PLW0108 (another each time)
    for number in range(calls):
        log_next(number)
    sys.settrace(None)


HOT_APPENDS = {f"append_{kind}.<locals>.append" for kind in ("scalar", "text", "levelled_text")}
ENTRANCES = HOT_APPENDS | {"Producer._append_once", "Producer._undisturbed"}
"""The functions in which a call sets a mark."""
MIDDLES = HOT_APPENDS | {"FrameSlot._append_at"}
"""The functions that have read a count and store the next one."""


class Switching:
    """Cyclic garbage of the second greenlet. Collected in the middle of an append, it switches to the main greenlet."""

    is_armed = False
    is_inside = False
    switch_back: Callable[[], object]

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        if not Switching.is_armed:
            return
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_qualname not in MIDDLES:
            frame = frame.f_back
        if frame is not None:
            Switching.is_armed, Switching.is_inside = False, True
            Switching.switch_back()
            Switching.is_inside = False
        else:
            Switching()


class LogsInSlice:
    """Logs inside `__getitem__`, so that the next slice has to be allocated."""

    def __getitem__(self, key: slice) -> None:
        log_next(key.start)


def greenlets_both_ways(calls: int) -> None:
    """Stop a call at each instruction that sets a mark, then another greenlet's in the middle of its append."""
    from greenlet import getcurrent, greenlet

    Switching.switch_back = main_switch = getcurrent().switch
    how = stopped = 0

    def work() -> None:
        while True:
            gc.set_threshold(1)
            Switching.is_armed = True
            Switching()
            LogsInSlice()[how:]
            Switching.is_armed = False
            gc.set_threshold(0)
            main_switch()

    second = greenlet(work)

    def log_and_stop(at: int) -> bool:
        """Log, stopped at this instruction if there is one. Returns whether there is."""
        steps = count()

        def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
            nonlocal stopped
            if frame.f_code.co_qualname in ENTRANCES:
                frame.f_trace_opcodes = True
                if event == "opcode" and next(steps) == at:
                    second.switch()
                    gc.set_threshold(0)
                    stopped += Switching.is_inside
            return trace

        sys.settrace(trace)
        log_next(how)
        sys.settrace(None)
        if Switching.is_inside:
            second.switch()
        return next(steps) > at

    gc.set_threshold(0)
    for is_frame, how in product((False, True), range(3)):
        if is_frame:
            for timeline in ("a", "b", "c"):  # tables have two at most
                rr.set_time(timeline, sequence=1)
        log_next(how)
        at = 0
        while at < calls and log_and_stop(at):
            at += 1
    gc.set_threshold(700)
    assert stopped > 20


def before_1970(calls: int) -> None:
    """Log with a clock that shows a time before 1970."""
    real = time.time_ns
    time.time_ns = lambda: real() - 2_000_000_000_000_000_000
    for number in range(calls):
        log_next(number)


SCENES: dict[str, Callable[[int], None]] = {
    name: scene
    for name, scene in list(globals().items())
    if name
    in (
        "collections",
        "traced",
        "profiled",
        "monitored",
        "tracer_that_logs",
        "tracer_that_forks",
        "exception_at_every_step",
        "first_call_at_every_step",
        "raising_handlers",
        "logging_handlers",
        "greenlets",
        "greenlets_both_ways",
        "before_1970",
    )
}


def main() -> None:
    """Play one scene."""
    path, scene, calls = sys.argv[1:]
    # Python 3.12 and 3.13 send events of instructions only if a frame has asked for them before settrace.
    sys._getframe().f_trace_opcodes = True
    sys.unraisablehook = lambda unraisable: raised.append(repr(unraisable.exc_value))
    rr.init("rerun_mp_interruptions")
    rr.save(path)
    SCENES[scene](int(calls))
    print(json.dumps({"returned": returned, "raised": raised, "sent": sent}))


if __name__ == "__main__":
    main()
