"""When a recording's file ends and the next part begins, and the names of the parts.

The parts of `run.rrd` are `run.0001.rrd`, `run.0002.rrd` and so on. Numbers go on after the highest number that lies
there, so that no run overwrites a part of an earlier one. Beside the parts lies `run.parts.jsonl`, the *part list*: one
line of JSON for each complete part. The collector alone appends to it. Any process and thread may read.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ClosedPart", "Rotation", "add_to_part_list", "closed_parts", "number_of", "part_list_path", "part_paths"]

MIN_BYTES = 4096
"""Minimum size of a part in bytes: an empty .rrd file with a footer takes about 1 kB."""


class Rotation:
    """When a file ends and the next part begins: at a size, after a time, or when the program says so.

    Parameters
    ----------
    bytes
        A part ends when its file has at least so many bytes. A sweep of the collector, up to 16 MB, is never divided,
        so a part may be larger by that much. None: no bound.
    seconds
        A part ends so many seconds after its first row. None: no bound.

    Without any bound, a part ends only at `rerun_mp.next_episode()`, which ends the present part in each case.

    Raises
    ------
    InvalidArgumentError
        If `bytes` is no whole number from 4096 on, or `seconds` no number above 0.

    Examples
    --------
    >>> Rotation(bytes=1 << 30, seconds=3600)
    Rotation(bytes=1073741824, seconds=3600)
    """

    __slots__ = ("bytes", "seconds")

    bytes: int | None
    seconds: float | None

    def __init__(self, *, bytes: int | None = None, seconds: float | None = None) -> None:  # noqa: A002 (a unit)
        if bytes is not None and (not isinstance(bytes, int) or bytes < MIN_BYTES):
            raise InvalidArgumentError(f"argument 'bytes': {bytes!r} is no whole number of bytes from {MIN_BYTES} on")
        if seconds is not None and (not isinstance(seconds, int | float) or not seconds > 0):
            raise InvalidArgumentError(f"argument 'seconds': {seconds!r} is no number of seconds above 0")
        object.__setattr__(self, "bytes", bytes)
        object.__setattr__(self, "seconds", seconds)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__!r} object is frozen; make another one to have another {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rotation) and (other.bytes, other.seconds) == (self.bytes, self.seconds)

    def __hash__(self) -> int:
        return hash((Rotation, self.bytes, self.seconds))

    def __repr__(self) -> str:
        return f"Rotation(bytes={self.bytes!r}, seconds={self.seconds!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _rotation, (self.bytes, self.seconds)


def _rotation(max_bytes: int | None, max_seconds: float | None) -> Rotation:
    return Rotation(bytes=max_bytes, seconds=max_seconds)


class ClosedPart(NamedTuple):
    """A complete part of a file that rotates."""

    path: str
    """Absolute path. The file may have been moved or removed since."""
    number: int
    """Its number in the file's name."""
    application_id: str
    recording_id: str
    host: str
    """Name of the host whose collector wrote it."""
    session: str
    """The beginning of the session's nonce, 16 hex digits. Host, session, recording and number name a part."""
    rows: int
    """Number of rows that processes logged."""
    bytes: int
    """Size of the file in bytes."""
    closed_ns: int
    """When it was complete, nanoseconds since the epoch."""


def part_paths(path: str) -> Iterator[tuple[int, str]]:
    """Yield (number, path) of the parts that can follow those that lie beside `path`."""
    number = max((number for number, _ in existing_parts(path)), default=0)
    while True:
        number += 1
        yield number, part_path(path, number)


def part_path(path: str, number: int) -> str:
    """Return the path of part `number` of `path`."""
    stem, suffix = os.path.splitext(path)
    return f"{stem}.{number:04}{suffix}"


def existing_parts(path: str) -> Iterator[tuple[int, str]]:
    """Yield (number, path) of each part of `path` that lies there, complete or not, in no order."""
    directory, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    pattern = re.compile(rf"{re.escape(stem)}\.(\d{{4,}}){re.escape(suffix)}")
    try:
        names = os.listdir(directory or ".")
    except OSError:
        return
    for found in filter(None, map(pattern.fullmatch, names)):
        yield int(found[1]), os.path.join(directory, found[0])


def number_of(part: str) -> int:
    """Return the number in the path of a part."""
    return int(os.path.splitext(os.path.splitext(part)[0])[1][1:])


def part_list_path(path: str) -> str:
    """Return the path of the part list of `path`."""
    return f"{os.path.splitext(path)[0]}.parts.jsonl"


def closed_parts(path: str) -> list[ClosedPart]:
    """Return the complete parts of the file `path` as its part list names them, in the order of their completion.

    A line that was cut off by a crash is left out.
    """
    found: list[ClosedPart] = []
    directory = os.path.dirname(path)
    try:
        with open(part_list_path(path), encoding="utf-8") as file:
            for line in file:
                try:
                    raw = json.loads(line)
                    found.append(ClosedPart(os.path.join(directory, raw.pop("file")), **raw))
                except (ValueError, TypeError, KeyError, AttributeError):
                    continue
    except OSError:
        return []
    return found


def add_to_part_list(path: str, part: ClosedPart) -> None:
    """Append a part to the part list of `path`, unless it is the last one there already.

    Raises
    ------
    OSError
        If the list cannot be written.
    """
    known = closed_parts(path)
    if known and (known[-1].path, known[-1].session) == (part.path, part.session):
        return
    raw = {**part._asdict(), "file": os.path.basename(part.path)}
    del raw["path"]
    with open(part_list_path(path), "a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        is_cut_off = size > 0 and file.read(1) != b"\n"
        file.write(b"\n" * is_cut_off + json.dumps(raw).encode() + b"\n")
