"""Tells code that interrupts a call of this package from the package's own code.

A signal handler, a `__del__` method or a trace function can run in the middle of any call. It may log, it may raise
anything, and it may switch to another greenlet. A `Mark` says that a call is in progress. Two questions follow, and
slow paths ask them here:

- Does a function that has set a mark still run, further out on the stack, or has an exception ended it? (`is_running`)
- Does an exception come from our own code, or from code of the user's that ran in the middle? Ours may mean that a
  table is closed or that the system has refused something; the user's goes to the user. (`is_own`, `is_from_handler`,
  `attribute_of`)

Any thread may call.
"""

from __future__ import annotations

import functools
import gc
import importlib
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

__all__ = [
    "Mark",
    "attribute_of",
    "interrupted_imports",
    "is_from_handler",
    "is_loaded",
    "is_own",
    "is_running",
    "suppress_own",
    "unfinished_import",
]

PACKAGE = __name__.partition(".")[0]
IMPORT = importlib._bootstrap._find_and_load.__code__  # type: ignore[attr-defined]
"""The code that runs while a module is imported. Its argument `name` is the module's name."""
REPLACES_C = {"gevent"}
"""Packages that replace functions of the standard library. The replaced functions are written in C."""


class Mark:
    """Says that a call is in the middle of a section, for calls that interrupt one another on one thread.

    `del mark.free` enters the section. It is one step of the interpreter, so that of two greenlets only one enters,
    wherever each of them is interrupted. It raises AttributeError if a call is inside. `mark.free = True` leaves the
    section. If an exception ends the call in between, the mark stays set.
    """

    __slots__ = ("free",)

    def __init__(self) -> None:
        self.free = True

    @property
    def is_set(self) -> bool:
        """Whether a call is inside, or an exception has ended one."""
        return not hasattr(self, "free")


def is_running(codes: Collection[CodeType], belongs: Callable[[FrameType], bool]) -> bool:
    """Return whether one of `codes` is running further out than the function that calls this.

    Greenlets that are switched away have stacks of their own, which are searched, too.

    Parameters
    ----------
    codes
        The code of the functions to look for.
    belongs
        Says whether a frame with such code is one of those meant.
    """
    caller = sys._getframe(1)
    return any(frame.f_code in codes and belongs(frame) for frame in _frames(caller.f_back))


def is_own(error: BaseException, libraries: Collection[str] = ()) -> bool:
    """Return whether this package's own code raised an exception, or had a function written in C raise it.

    The code of `libraries`, names of packages, counts as our own.
    """
    packages = [module.partition(".")[0] for _, module in _codes(error)]
    while packages and packages[-1] in REPLACES_C:
        packages.pop()
    return bool(packages) and (packages[-1] == PACKAGE or packages[-1] in libraries)


def is_from_handler(error: BaseException) -> bool:
    """Return whether a signal handler of the program raised an exception."""
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    return any(code in handlers for code, _ in _codes(error))


def attribute_of(holder: object, name: str) -> Any:
    """Return an attribute of the user's object, or None if it has none, as `getattr(holder, name, None)` does.

    The object may find its attributes by Python code, during which a signal handler runs. If that handler raises
    AttributeError, the error goes to the user.
    """
    try:
        return getattr(holder, name)
    except AttributeError as error:
        if not is_own(error) and is_from_handler(error):
            raise
        return None


def interrupted_imports() -> set[str]:
    """Return the names of the modules whose import is in progress on this thread: the caller interrupts it.

    The caller can neither finish such an import nor wait for it.
    """
    frames = _frames(sys._getframe(1))
    return {str(frame.f_locals.get("name")) for frame in frames if frame.f_code is IMPORT}


def unfinished_import(names: Collection[str]) -> str | None:
    """Return which of these modules the caller interrupts at its import, and None if it interrupts none of them."""
    if all(map(is_loaded, names)):
        return None
    return next(iter(sorted(interrupted_imports().intersection(names))), None)


def is_loaded(name: str) -> bool:
    """Return whether module `name` has been executed to its end."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return module is not None and not getattr(spec, "_initializing", False)


class suppress_own:  # noqa: N801 (stands beside contextlib.suppress)
    """Suppress exceptions of these kinds that this package's own code raises, and let the user's pass."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        return error is not None and isinstance(error, self._kinds) and is_own(error)


def _frames(innermost: FrameType | None) -> Iterator[FrameType]:
    yield from _outwards(innermost)
    greenlet = getattr(sys.modules.get("greenlet"), "greenlet", None)
    if greenlet is not None:
        for other in gc.get_objects():
            if isinstance(other, greenlet):
                yield from _outwards(other.gr_frame)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _codes(error: BaseException) -> Iterator[tuple[CodeType, str]]:
    """Yield the code and the module's name of each frame that an exception passed, the innermost last."""
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        yield frame.f_code, str(frame.f_globals.get("__name__"))
        traceback = traceback.tb_next


def _code_of(handler: object) -> CodeType | None:
    """Return the code that runs when a signal handler is called. None: it is no Python code."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if callable(handler) and not hasattr(handler, "__code__") and not hasattr(handler, "__func__"):
        handler = type(handler).__call__
    for function in (handler, getattr(handler, "__func__", None)):
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            return code
    return None
