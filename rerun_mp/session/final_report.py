"""The collector's final report to the programs that wait for the end of a session: complete files, missing rows.

A program that leaves opens the file `final_report.txt` in the runtime directory while it is still a participant. The
collector writes into that file, not a new one, before the state REMOVING, and then removes the directory. The program
reads through its descriptor, so it gets the text although the file is gone. Any thread may call.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rerun_mp.printable import printable
from rerun_mp.session import directories

if TYPE_CHECKING:
    from rerun_mp.shm.segment import Segment

__all__ = ["FILE_MARK", "describe_files", "file_line", "open_final_report", "read_final_report", "write_final_report"]

MAX_BYTES = 1 << 16
FILE_MARK = "file "
"""Beginning of a line that names a complete file: its rows (a hyphen: unknown), the rows that its rules hold back, and
its path."""


def open_final_report(segment: Segment) -> int | None:
    """Return the descriptor through which this process will read; None if the file cannot be opened."""
    try:
        directories.ensure_private(segment.runtime_directory)
        return os.open(_path(segment), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None


def read_final_report(descriptor: int) -> str:
    """Return the report as written so far, and close the descriptor."""
    try:
        return os.pread(descriptor, MAX_BYTES, 0).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def file_line(path: str, rows: int | None, held_rows: int) -> str:
    """Return the line that names a complete file. `rows`: None if their number is unknown."""
    return f"{FILE_MARK}{'-' if rows is None else rows} {held_rows} {printable(path)}\n"


def describe_files(text: str) -> str:
    """Return the files that a report names, as the user reads them: "12,000 rows in run.rrd"."""
    found = []
    for line in text.splitlines():
        if line.startswith(FILE_MARK):
            rows, held, path = line.removeprefix(FILE_MARK).split(" ", 2)
            shown = _shown(path)
            where = f"{int(rows):,} rows in {shown}" if rows.isdecimal() else f"rows in {shown}"
            found.append(f"{where} ({int(held):,} held back by its rules)" if int(held) else where)
    return ", ".join(found)


def _shown(path: str) -> str:
    """Return a path as the user would write it: relative to the current directory if it lies below that."""
    try:
        beside = os.path.relpath(path)
    except FileNotFoundError:  # the current directory has been removed
        return path
    return path if beside.startswith("..") else beside


def write_final_report(segment: Segment, text: str) -> None:
    """Write the text for the programs that expect it, in place of an earlier one."""
    try:
        descriptor = os.open(_path(segment), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return  # no program waits
    try:
        os.write(descriptor, text.encode()[:MAX_BYTES])
    except OSError:
        pass  # the disk is full; the collector's log has the text, too
    finally:
        os.close(descriptor)


def _path(segment: Segment) -> str:
    return os.path.join(segment.runtime_directory, "final_report.txt")
