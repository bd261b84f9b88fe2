"""The standard library's logging and warnings, from all processes, as `TextLog`.

Forked children inherit both; spawned ones call `capture_logging` and `capture_warnings` themselves, as they set up
their logging. Fields that a line carries as `extra` become components of its row.
"""

from __future__ import annotations

import logging
import threading
import warnings
from typing import TYPE_CHECKING, Any

import rerun_mp as rr

if TYPE_CHECKING:
    from typing import TextIO

    from rerun import DescribedComponentBatch

    from rerun_mp.api.recording import RecordingStream

__all__ = ["Handler", "capture_logging", "capture_warnings"]

LEVELS = {
    logging.CRITICAL: "CRITICAL",
    logging.ERROR: "ERROR",
    logging.WARNING: "WARN",
    logging.INFO: "INFO",
    logging.DEBUG: "DEBUG",
}
OWN_FIELDS = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))
"""Fields of every record. All others are `extra`."""
MAX_FIELDS = 64
"""Maximum number of a line's extra fields that are logged."""
MAX_KINDS = 1024
"""Maximum number of extra fields with a known kind."""
ARROW_KINDS = {bool: "bool_", int: "int64", float: "float64"}
"""Kinds of extra fields that keep their type. All others become text."""

_kinds: dict[str, type] = {}
"""The kind of each extra field, as its first value had it. Forked children inherit it."""
_inside = threading.local()
"""`is_logging`: whether this thread is logging a line or a warning. A row may warn or log in turn."""
_warnings_path = "warnings"
"""The entity that gets the warnings. Forked children inherit it."""
_previous_show = warnings.showwarning
"""The function that showed warnings before `_show` replaced it."""


class Handler(logging.Handler):
    """Logs each line as text on `<entity path>/<logger's name>`, with slashes for the dots of the name.

    Without a formatter, the text is the message, then the exception and the stack (`stack_info`). A line from another
    process than the main one then begins with the name of its process. With a formatter (`setFormatter`), the text is
    what the formatter returns.

    Parameters
    ----------
    entity_path
        The part before the logger's name.
    level
        The lowest level that is logged: a number, or a name such as "INFO".
    recording
        By default the active one when a line is logged.

    Raises
    ------
    ValueError
        If no level has this name.

    Examples
    --------
    >>> logging.getLogger().addHandler(Handler("logs"))  # doctest: +SKIP
    """

    def __init__(
        self, entity_path: str = "logs", level: int | str = logging.NOTSET, recording: RecordingStream | None = None
    ) -> None:
        super().__init__(level)
        self._entity_path = entity_path
        self._recording = recording

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a line."""
        text = super().format(record)
        if self.formatter is None and record.processName not in (None, "MainProcess"):
            return f"[{record.processName}] {text}"
        return text

    def emit(self, record: logging.LogRecord) -> None:
        """Log a line. Lines that rerun_mp itself logs meanwhile are left out."""
        if getattr(_inside, "is_logging", False):
            return
        _inside.is_logging = True
        try:
            text = rr.TextLog(_encodable(self.format(record)), level=LEVELS.get(record.levelno, record.levelname))
            path = "/".join([self._entity_path, *record.name.split(".")])
            extra = {name: value for name, value in vars(record).items() if name not in OWN_FIELDS}
            rr.log(path, text, *([_components(extra)] if extra else []), recording=self._recording)
        except Exception:  # noqa: BLE001 (logging must not end the program; handleError reports the failure)
            self.handleError(record)
        finally:
            _inside.is_logging = False


def capture_logging(
    entity_path: str = "logs",
    level: int | str = logging.NOTSET,
    recording: RecordingStream | None = None,
    *,
    formatter: logging.Formatter | str | None = None,
) -> Handler:
    """Log the lines of all loggers of this process from now on. Another call replaces these settings.

    Parameters
    ----------
    entity_path, level, recording
        As for `Handler`. The loggers' own levels apply first. If the root logger's level is higher than `level`, it is
        lowered to `level`.
    formatter
        A formatter, or its format; by default as `Handler` says.

    Examples
    --------
    >>> capture_logging(level="INFO", formatter="%(processName)s %(message)s")  # doctest: +SKIP
    """
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, Handler)]:
        root.removeHandler(handler)
    handler = Handler(entity_path, level, recording)
    handler.setFormatter(logging.Formatter(formatter) if isinstance(formatter, str) else formatter)
    root.addHandler(handler)
    if handler.level and root.level > handler.level:
        root.setLevel(handler.level)
    return handler


def capture_warnings(entity_path: str = "warnings") -> None:
    """Log the warnings of this process (`warnings.warn`) from now on, and show them as before.

    Filters apply first, and a warning that `warnings.catch_warnings(record=True)` records is not logged. Calling it
    again changes the entity.

    Examples
    --------
    >>> capture_warnings()  # doctest: +SKIP
    """
    global _warnings_path, _previous_show
    _warnings_path = entity_path
    if warnings.showwarning is not _show:
        _previous_show = warnings.showwarning
        warnings.showwarning = _show


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a warning, and show it. Stands in place of `warnings.showwarning`."""
    if file is None and not getattr(_inside, "is_logging", False):
        _inside.is_logging = True
        try:
            text = f"{filename}:{lineno}: {category.__name__}: {message}"
            rr.log(_warnings_path, rr.TextLog(_encodable(text), level="WARN"))
        finally:
            _inside.is_logging = False
    _previous_show(message, category, filename, lineno, file, line)


def _components(extra: dict[str, Any]) -> list[DescribedComponentBatch]:
    """Return extra fields as components: truth values and numbers as such, all else as text."""
    import pyarrow as pa
    from rerun import ComponentDescriptor, DescribedComponentBatch
    from rerun.any_batch_value import AnyBatchValue

    found = []
    for name, value in list(extra.items())[:MAX_FIELDS]:
        kind = next((kind for kind in ARROW_KINDS if isinstance(value, kind)), str)
        if name not in _kinds and len(_kinds) < MAX_KINDS:
            _kinds[name] = kind
        wanted = _kinds.get(name, kind)
        component = name
        is_of_kind = wanted in (kind, str) or (wanted, kind) == (float, int)
        if not is_of_kind or (wanted is int and not -(1 << 63) <= value < 1 << 63):
            # A component has one type, and a number 64 bits.
            component, wanted = f"{name}_text", str
        descriptor = ComponentDescriptor(component)
        content = _text_of(value) if wanted is str else wanted(value)
        array = pa.array([content], type=getattr(pa, ARROW_KINDS.get(wanted, "string"))())
        found.append(DescribedComponentBatch(AnyBatchValue(descriptor, array), descriptor))
    return found


def _text_of(value: object) -> str:
    """Return the text of an extra field. A field that has none does not cost the line."""
    try:
        return _encodable(str(value))
    except Exception as error:  # noqa: BLE001 (the program's own `__str__`)
        return f"<{type(value).__name__}: {type(error).__name__}>"


def _encodable(text: str) -> str:
    """Return a text with escapes in place of bytes that were no UTF-8, as names of files may have."""
    return text.encode("utf-8", "backslashreplace").decode()
