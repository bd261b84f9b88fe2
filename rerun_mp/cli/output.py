"""Makes sure that the output of a command reaches its reader, or that the command says that it did not.

Used by the main thread of a command, around all of it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

from rerun_mp.standard_error import tell

__all__ = ["checked_output"]

FAILED = 1
"""Exit status if the output could not be written, or its reader has gone."""


class _Watched(io.FileIO):
    """Standard output's file, which remembers why it took no more."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


@contextlib.contextmanager
def checked_output() -> Iterator[None]:
    """Flush the output of the block.

    If that fails, exit with 1 and a line on stderr; without the line if the reader has gone.

    Names that standard output's encoding has no characters for are printed with escapes.
    """
    if sys.stdout is None:  # closed by the caller: `>&-`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)
    given = sys.stdout
    try:
        watched = _Watched(given.fileno(), "w", closefd=False)
    except (OSError, ValueError):  # in memory
        yield
        return
    is_terminal = given.isatty()
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(watched), given.encoding, errors="backslashreplace", line_buffering=is_terminal
    )
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if watched.failure is None:
            raise
        if watched.failure.errno != errno.EPIPE:
            tell(f"rerun-mp: standard output cannot be written: {watched.failure.strerror}\n")
        raise SystemExit(FAILED) from error
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        sys.stdout = given
