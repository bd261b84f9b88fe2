"""Strict mode: a wrong call raises if strict mode is on; otherwise it warns, and the warning names the call.

The rules and the state are those of `rerun.error_utils`. Once rerun is loaded, this module uses rerun's strict mode and
rerun's thread-local context. So `rr.log(..., strict=True)` holds inside rerun's constructors, too, and a warning of
rerun's inside a call of ours points to the line of that call.

A warning appears at the user's line, through `warnings`, and in the recording, as a `TextLog` under `__warnings`. Each
thread has its own context. The first thread of a forked child inherits that of the forking thread.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from rerun_mp.errors import RingFullError
from rerun_mp.hooks import when_loaded as imports
from rerun_mp.hooks.when_loaded import when_loaded
from rerun_mp.settings import parse_switch
from rerun_mp.shm.interruptions import is_from_handler, is_loaded, unfinished_import

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, ModuleType

    from rerun import RecordingStream

__all__ = [
    "at_users_line",
    "connect",
    "refuse",
    "set_strict_mode",
    "strict_mode",
    "warn",
    "warn_or_raise",
    "warns_unless_strict",
]

P = ParamSpec("P")
R = TypeVar("R")


def _mode_of_environment() -> bool:
    text = os.environ.get("RERUN_STRICT", "0").lower()
    mode = parse_switch(text)
    if mode is None:
        print(f"Expected RERUN_STRICT to be one of 0/1 false/true off/on no/yes, found {text}", file=sys.stderr)
    return bool(mode)


RERUN = ("numpy", "pyarrow", "rerun_bindings", "rerun")
"""Rerun and what it needs: modules that cannot be imported anew while their import is in progress."""

_context_before_rerun = threading.local()
_mode_before_rerun = _mode_of_environment()
_was_set = False
_error_utils: ModuleType | None = None


_log_warning: Callable[[str, RecordingStream | None], None] | None = None
_is_left_to_rerun: Callable[[object], bool] | None = None


def connect(
    *, log_warning: Callable[[str, RecordingStream | None], None], is_left_to_rerun: Callable[[object], bool]
) -> None:
    """Set the functions of higher modules that warnings need: one logs a warning, one says which calls are rerun's."""
    global _log_warning, _is_left_to_rerun
    _log_warning, _is_left_to_rerun = log_warning, is_left_to_rerun


def _adopt(error_utils: ModuleType) -> None:
    global _error_utils
    _error_utils = error_utils
    if _was_set:
        error_utils.set_strict_mode(_mode_before_rerun)
    if not imports.leaves_rerun_alone and hasattr(error_utils, "_send_warning_or_raise"):
        # Rerun's other modules are loaded later, and import the function from there.
        error_utils._send_warning_or_raise = partial(_warn_or_raise, error_utils._send_warning_or_raise)  # type: ignore[attr-defined]


def _warn_or_raise(
    original: Callable[..., None],
    message: str,
    depth_to_user_code: int = 1,
    *,
    recording: RecordingStream | None = None,
    exception_type: type[Exception] = ValueError,
    warning_type: type[Warning] | None = None,
) -> None:
    """Replace rerun's function of that name: the warning appears at the user's line, not in rerun's code."""
    if _is_left_to_rerun is None or _is_left_to_rerun(recording):
        kinds: dict[str, Any] = {} if warning_type is None else {"warning_type": warning_type}
        original(message, depth_to_user_code + 1, recording=recording, exception_type=exception_type, **kinds)
    elif strict_mode():
        raise exception_type(message)
    else:
        # As in rerun, the logged text shows the place in rerun's code.
        stack = _error_utils._build_warning_context_string(skip_first=depth_to_user_code + 1)  # type: ignore[union-attr]
        warn(message, recording, category=warning_type, stack=stack)


def strict_mode() -> bool:
    """Return whether wrong calls of this thread raise (True) or warn (False).

    The default is False; the environment variable RERUN_STRICT changes it.
    """
    if _error_utils is not None:
        return bool(_error_utils.strict_mode())
    override = getattr(_context_before_rerun, "strict_mode", None)
    return _mode_before_rerun if override is None else bool(override)


def set_strict_mode(mode: bool) -> None:
    """Turn strict mode on or off for this process, including rerun's.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.set_strict_mode(True)
    >>> rr.strict_mode()
    True
    >>> rr.set_strict_mode(False)
    """
    global _mode_before_rerun, _was_set
    _mode_before_rerun, _was_set = mode, True
    if _error_utils is not None:
        _error_utils.set_strict_mode(mode)


def warns_unless_strict(function: Callable[P, R]) -> Callable[P, R | None]:
    """Decorate a function whose wrong calls raise in strict mode and otherwise warn and return None.

    The call's keyword argument `strict` overrides the mode while the call runs. The outermost call issues the warnings
    of nested calls when it returns. A row that could not be logged is no wrong call: `api.refusals` decides about it.
    A `RingFullError` that comes here is one that the policy asks for, and is raised in both modes. So is whatever a
    signal handler of the program raises during the call.
    """
    name = function.__qualname__.lstrip("_")

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R | None:
        context = _context()
        outer_mode = getattr(context, "strict_mode", None)
        outer_depth = getattr(context, "depth", None)
        context.depth = (outer_depth or 0) + 1
        if "strict" in kwargs:
            context.strict_mode = kwargs["strict"]
        try:
            return function(*args, **kwargs)
        except RingFullError:
            raise
        except Exception as error:
            if strict_mode() or is_from_handler(error):
                raise
            _pending(context).append(f"{name}: {type(error).__name__}({error})")
            return None
        finally:
            context.depth = outer_depth
            context.strict_mode = outer_mode
            if not outer_depth and _pending(context):
                _issue(context, kwargs.get("recording"))

    return wrapper


def at_users_line(constructor: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a constructor of rerun's. Its warnings point to the user's call, not to this one."""
    context = _context()
    outer_depth = getattr(context, "depth", None)
    context.depth = (outer_depth or 0) + 1
    try:
        return constructor(*args, **kwargs)
    finally:
        context.depth = outer_depth
        if not outer_depth and _pending(context):
            _issue(context, None)


def warn_or_raise(message: str, recording: RecordingStream | None = None) -> None:
    """Warn of a problem and let the call continue; in strict mode raise `ValueError` instead."""
    if strict_mode():
        raise ValueError(message)
    warn(message, recording)


def refuse(call: str, error: Exception, recording: RecordingStream | None = None) -> None:
    """Raise `error` in strict mode; otherwise warn of it and name the call."""
    if strict_mode():
        raise error
    warn(f"{call}: {type(error).__name__}({error})", recording)


def warn(
    message: str,
    recording: RecordingStream | None = None,
    *,
    category: type[Warning] | None = None,
    stack: str | None = None,
    is_logged: bool = True,
) -> None:
    """Issue a warning at the user's line, by default a `RerunWarning`.

    If `is_logged`, also log it with a stack under `__warnings`.
    """
    frames = list(_user_frames())
    level = _level_of(frames[0]) if frames else 2
    warnings.warn(message, category=category or _category(), stacklevel=level)
    context = _context()
    if not is_logged or _log_warning is None or getattr(context, "sending_warning", False):
        return
    context.sending_warning = True
    try:
        if stack is None:
            stack = "\n".join(
                f'File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}'
                for frame in frames
            )
        _log_warning(f"{message}\n{stack}", recording)
    finally:
        context.sending_warning = False


def _context() -> Any:
    return _context_before_rerun if _error_utils is None else _error_utils._rerun_exception_ctx


def _pending(context: Any) -> list[str]:
    pending: list[str] | None = getattr(context, "pending_warnings", None)
    if pending is None:
        pending = context.pending_warnings = []
    return pending


def _issue(context: Any, recording: Any) -> None:
    messages, context.pending_warnings = _pending(context), []
    for message in messages:
        warn(message, recording)


def _category() -> type[Warning]:
    if not is_loaded("rerun.error_utils") and unfinished_import(RERUN) is not None:
        return RuntimeWarning  # to load rerun now would fail, and leave a part of it behind
    try:
        from rerun.error_utils import RerunWarning
    except (ImportError, OSError):  # the interpreter is shutting down, or the process has no descriptors left
        return RuntimeWarning
    return RerunWarning


def _user_frames() -> Iterator[FrameType]:
    """Yield the frames from the user's call outwards."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_library(frame):
        frame = frame.f_back
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_library(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("rerun_mp", "rerun")


def _level_of(wanted: FrameType) -> int:
    """Return the `stacklevel` with which the caller's `warnings.warn` points at the frame `wanted`."""
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not wanted:
        level += 1
        frame = frame.f_back
    return level


when_loaded("rerun.error_utils", _adopt)
