"""The standard library's logging, from all processes, as `TextLog`.

Forked children inherit the handler; spawned ones call `capture_logging` themselves, as they set up their logging.
It behaves as rerun's handler, and also writes the name of the process into lines that do not come from the main one.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

import rerun_mp as rr

if TYPE_CHECKING:
    from rerun_mp.api.recording import RecordingStream

__all__ = ["Handler", "capture_logging"]

LEVELS = {
    logging.CRITICAL: "CRITICAL",
    logging.ERROR: "ERROR",
    logging.WARNING: "WARN",
    logging.INFO: "INFO",
    logging.DEBUG: "DEBUG",
}


class Handler(logging.Handler):
    """Logs each line as text on `<entity path>/<logger's name>`, with slashes for the dots of the name.

    Parameters
    ----------
    entity_path
        The part before the logger's name.
    level
        The lowest level that is logged.
    recording
        By default the active one when a line is logged.

    Examples
    --------
    >>> logging.getLogger().addHandler(Handler("logs"))  # doctest: +SKIP
    """

    def __init__(
        self, entity_path: str = "logs", level: int = logging.NOTSET, recording: RecordingStream | None = None
    ) -> None:
        super().__init__(level)
        self._entity_path = entity_path
        self._recording = recording

    def emit(self, record: logging.LogRecord) -> None:
        """Log a line."""
        try:
            text = record.getMessage()
            if record.exc_info:
                text = f"{text}\n{''.join(traceback.format_exception(*record.exc_info))}"
            if record.processName and record.processName != "MainProcess":
                text = f"[{record.processName}] {text}"
            path = "/".join([self._entity_path, *record.name.split(".")])
            level = LEVELS.get(record.levelno, record.levelname)
            rr.log(path, rr.TextLog(text, level=level), recording=self._recording)
        except Exception:  # noqa: BLE001 (logging must not end the program; handleError reports the failure)
            self.handleError(record)


def capture_logging(
    entity_path: str = "logs", level: int = logging.NOTSET, recording: RecordingStream | None = None
) -> Handler:
    """Log the lines of all loggers of this process from now on. Another call replaces these settings.

    Parameters
    ----------
    entity_path, level, recording
        As for `Handler`. The loggers' own levels apply first.

    Examples
    --------
    >>> capture_logging(level=logging.INFO)  # doctest: +SKIP
    """
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, Handler)]:
        root.removeHandler(handler)
    handler = Handler(entity_path, level, recording)
    root.addHandler(handler)
    if level and root.level > level:
        root.setLevel(level)
    return handler
