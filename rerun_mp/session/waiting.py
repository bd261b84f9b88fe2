"""Waits until another process stores a word in shared memory.

No system call can wait for that, so the waits sleep with back-off.

A wait ends by its condition, its timeout or Ctrl-C; with `Patience`, by the second Ctrl-C. Any thread may call.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from rerun_mp.shm.layout import Kind, Line
from rerun_mp.shm.ring import Ring
from rerun_mp.standard_error import is_terminal, tell

__all__ = ["Backlog", "Patience", "Progress", "pause_length", "wait_until"]

TABLE_ROW_BYTES = 32
"""Estimated bytes of a row in a table, for progress lines."""


def pause_length(attempt: int) -> float:
    """Return the seconds to sleep before the next attempt: 0.2 ms, doubling to 5 ms."""
    return min(0.0002 * (1 << min(attempt, 5)), 0.005)


def wait_until(
    condition: Callable[[], bool],
    timeout: float | None,
    *,
    meanwhile: Callable[[], None] | None = None,
    every: float = 0.05,
    patience: Patience | None = None,
) -> bool:
    """Sleep with growing back-off until `condition` holds. Return False after `timeout` seconds; None: no timeout.

    Every `every` seconds it calls `meanwhile`, which watches the collector or shows progress. `patience` receives
    Ctrl-C.
    """
    begin = time.monotonic()
    last = begin
    attempt = 0
    while True:
        try:
            while not condition():
                now = time.monotonic()
                if timeout is not None and now - begin >= timeout:
                    return False
                if meanwhile is not None and now - last >= every:
                    last = now
                    meanwhile()
                time.sleep(pause_length(attempt))
                attempt += 1
        except KeyboardInterrupt:
            if patience is None:
                raise
            patience.interrupt()
        else:
            return True


class Patience:
    """Lets a wait go on at the first Ctrl-C, which it answers, and ends it at the second."""

    def __init__(self, answer: str) -> None:
        self._answer = answer
        self._is_interrupted = False

    def interrupt(self) -> None:
        """Answer a Ctrl-C.

        Raises
        ------
        KeyboardInterrupt
            If it is not the first one.
        """
        if self._is_interrupted:
            raise KeyboardInterrupt
        self._is_interrupted = True
        begin, end = ("\r", "\x1b[K\n") if is_terminal() else ("", "\n")
        tell(f"{begin}rerun_mp: {self._answer}{end}")


class Backlog(NamedTuple):
    """The rows that a wait still waits for."""

    rows: int
    """Upper bound: for a slot of frames, its stored rows count, too."""
    num_bytes: int
    """Estimate."""

    @classmethod
    def of(cls, ring: Ring, pending: Iterable[tuple[int, int, int]]) -> Backlog:
        """Return the unstored rows of the slots in `pending`, (slot, epoch, count) each."""
        rows = num_bytes = 0
        for slot, _, count in pending:
            line = ring.geometry.line_word(slot)
            kind, new = ring.words[line + Line.KIND], count - ring.done(slot)
            if new > 0:
                rows += new if kind == Kind.TABLE else max(1, ring.words[line + Line.ROWS])
                num_bytes += new * TABLE_ROW_BYTES if kind == Kind.TABLE else new
        return cls(rows, num_bytes)


class Progress:
    """One line on stderr, if that is a terminal, after the first second of a wait."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._begin = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._shown = False

    def update(self, detail: str | Backlog) -> None:
        """Show what remains."""
        waited = time.monotonic() - self._begin
        if isinstance(detail, Backlog):
            detail = self._describe(detail, waited)
        if waited < 1 or not is_terminal():
            return
        tell(f"\rrerun_mp: {self._what}: {detail} ({waited:.0f} s)\x1b[K")
        sys.stderr.flush()
        self._shown = True

    def _describe(self, backlog: Backlog, waited: float) -> str:
        """Return the rows that remain, the rate at which they are stored, and the time that this takes."""
        if self._first is None:
            self._first = (waited, backlog.rows)
        began, rows = self._first
        text = f"{backlog.rows:,} rows, {backlog.num_bytes / 1e6:,.1f} MB left"
        rate = (rows - backlog.rows) / (waited - began) if waited > began else 0.0
        return f"{text}, {rate:,.0f} rows/s, {backlog.rows / rate:,.0f} s to go" if rate > 0 else text

    def close(self) -> None:
        """Remove the line."""
        if self._shown and sys.stderr:
            tell("\r\x1b[K")
            sys.stderr.flush()
