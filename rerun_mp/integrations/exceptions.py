"""Uncaught exceptions of processes and threads, as `TextLog`: the cause of a worker's death lies beside its data.

`capture_exceptions` wraps `sys.excepthook`, `threading.excepthook` and `multiprocessing.Process.run`. Forked children
inherit the wrappers; spawned ones call `capture_exceptions` or `pools.initialize` themselves. A pool catches the
exceptions of its tasks, so decorate such a task with `logs_exceptions`.
"""

from __future__ import annotations

import functools
import multiprocessing.process
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import rerun_mp as rr

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["capture_exceptions", "logs_exceptions"]

P = ParamSpec("P")
R = TypeVar("R")

_entity_path: str | None = None
"""The entity that gets the exceptions; None before the first call. Forked children inherit it."""


def capture_exceptions(entity_path: str = "exceptions") -> None:
    """Log uncaught exceptions on an entity from now on. Calling it again changes the entity.

    Examples
    --------
    >>> capture_exceptions()  # doctest: +SKIP
    """
    global _entity_path
    if _entity_path is None:
        _replace()
    _entity_path = entity_path


def logs_exceptions(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that an exception that leaves it is logged, on the entity of `capture_exceptions`.

    Examples
    --------
    >>> @logs_exceptions
    ... def work(number):
    ...     return 1 / number
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            _log(type(error), error, error.__traceback__)
            raise

    return wrapper


def _log(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    if issubclass(kind, (SystemExit, KeyboardInterrupt)):
        return
    text = "".join(traceback.format_exception(kind, error, where))
    name = multiprocessing.process.current_process().name
    rr.log(_entity_path or "exceptions", rr.TextLog(f"{name}: {text}", level="ERROR"))


def _replace() -> None:
    before, in_thread, run = sys.excepthook, threading.excepthook, multiprocessing.process.BaseProcess.run

    def in_process(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        _log(kind, error, where)
        before(kind, error, where)

    def in_threads(args: threading.ExceptHookArgs, /) -> None:
        _log(args.exc_type, args.exc_value, args.exc_traceback)
        in_thread(args)

    def in_worker(self: Any) -> None:
        # multiprocessing prints the exception itself, and calls no hook.
        try:
            run(self)
        except BaseException as error:
            _log(type(error), error, error.__traceback__)
            raise

    sys.excepthook, threading.excepthook = in_process, in_threads
    multiprocessing.process.BaseProcess.run = in_worker  # type: ignore[method-assign]
