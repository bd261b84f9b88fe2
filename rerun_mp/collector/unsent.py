"""Rows that a live sink has not acknowledged at the end of a session: where they are kept, and what the user is told.

Rows that are in a file of the user's stay there. Other rows, also those for a viewer that has been replaced by a file
since, become a file in `directories.unsent_directory()`. The
number and the size of these files are bounded: beyond a bound, the collector removes the oldest ones, and tells the
user how many rows they held. Used by the worker's main thread.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterable, Sequence

from rerun_mp.collector.live import Outcome
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.session import directories

__all__ = ["describe", "describe_rows", "drop_oldest", "unsent_path"]

MAX_FILES = 20
"""Maximum number of files with unsent rows."""
MAX_BYTES = 4 << 30
"""Maximum bytes of all files with unsent rows. The newest one stays, whatever its size."""
NAME = re.compile(r"-(\d+)-rows\.rrd$")


def unsent_path(recording: RecordingKey, nonce: bytes, rows: int) -> str:
    """Return the path of the file for a recording's rows. Its name says how many rows it holds."""
    stem = directories.rescue_path(directories.unsent_directory(), *recording, nonce).removesuffix(".rrd")
    copies = (f"{stem}{number}-{rows}-rows.rrd" for number in ("", *(f"-{copy}" for copy in range(2, 100))))
    return next(path for path in copies if not os.path.exists(path))


def describe(recording: RecordingKey, outcome: Outcome, files: Sequence[str]) -> str:
    """Return the line for the user about one sink that lacks rows, which are in `files`."""
    stored = outcome.acknowledged_rows + outcome.missing_rows
    count = f"{outcome.missing_rows:,} of {stored:,}" if outcome.is_exact else f"at least {outcome.missing_rows:,}"
    lacks = f"{outcome.target} has not acknowledged {count} rows of {recording.application_id!r}"
    if not files:
        return f"{lacks}, and they are in no file."
    return (
        f"{lacks}. They are in {', '.join(files)}. Send them with: "
        f"rerun-mp send {shlex.join(files)} {shlex.quote(outcome.target)}"
    )


def describe_rows(recording: RecordingKey, rows: int, path: str) -> str:
    """Return the line for the user about rows for live sinks that the collector before this one knew."""
    return (
        f"no viewer is known to have {rows:,} rows of {recording.application_id!r}. They are in {path}. "
        f"Send them with: rerun-mp send {shlex.quote(path)} URL"
    )


def drop_oldest(kept: Iterable[str]) -> list[str]:
    """Remove the oldest files beyond the bounds, except `kept`, and return a line for the user about each."""
    directory = directories.unsent_directory()
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if NAME.search(name) and not name.startswith("."):
                with contextlib.suppress(OSError):
                    status = os.stat(path)
                    found.append((status.st_mtime_ns, path, status.st_size))
    found.sort()
    number, num_bytes = len(found), sum(size for _, _, size in found)
    lines = []
    for _, path, size in found:
        if number <= MAX_FILES and num_bytes <= MAX_BYTES:
            break
        if path in kept:
            continue
        with contextlib.suppress(OSError):
            os.unlink(path)
            number, num_bytes = number - 1, num_bytes - size
            rows = NAME.search(path)
            lines.append(
                f"{path} was removed with {rows[1] if rows else '?'} unsent rows: the oldest of more than {MAX_FILES} "
                f"such files, or of more than {MAX_BYTES >> 30} GiB."
            )
    return lines
