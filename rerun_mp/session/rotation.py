"""Rotation: when a recording's file ends and the next part begins, and the names of the parts.

The parts of `run.rrd` are `run.0001.rrd`, `run.0002.rrd` and so on. Numbers go on after the highest number that lies
there, so that no run overwrites a part of an earlier one. Beside the parts lies `run.parts.jsonl`, the *part list*: one
line of JSON for each complete part, and one that counts the removed ones. The collector alone writes it. Any process
and thread may read.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ClosedPart",
    "PartList",
    "Rotation",
    "Values",
    "add_to_part_list",
    "closed_parts",
    "is_part_or_list",
    "lock_part_list",
    "number_of",
    "part_list_path",
    "part_path",
    "part_paths",
    "read_part_list",
    "write_part_list",
]

FIELDS = ("bytes", "seconds", "keep_parts", "keep_bytes", "keep_seconds", "keep_last")
MINIMA = {"bytes": 4096, "keep_parts": 1, "keep_bytes": 4096}
"""Minimum of each whole number. An empty .rrd file with a footer takes about 1 kB."""

LIST_LOCK_SECS = 0.5
"""Maximum seconds to wait for the lock on the part list. A holder of ours has it for some milliseconds."""
LIST_LOCK_PAUSE = 0.002
"""Seconds between two attempts to take it."""
PARTS_OF_WINDOW = 6
"""Parts into which `keep_last` divides its window, if nothing else says when a part ends."""

Values = tuple[int | None, float | None, int | None, int | None, float | None, float | None]
"""The arguments of a `Rotation` in their order."""


class Rotation:
    """When a file ends and the next part begins, and how many complete parts stay.

    Parameters
    ----------
    bytes
        A part ends when its file has at least so many bytes. A sweep of the collector, up to 16 MB, is never divided,
        so a part may be larger by that much. None: no bound.
    seconds
        A part ends so many seconds after its first row. None: no bound.
    keep_parts, keep_bytes
        Maximum number, and total size in bytes, of the complete parts of the path. The collector removes the oldest
        ones beyond that and counts their rows: `SinkStatus.removed_rows`. None: no bound.
    keep_seconds
        The collector removes a part so many seconds after its completion. None: it stays.
    keep_last
        The file is a window: the last so many seconds of the run stay, counted back from the newest row, so that they
        outlast a program that hangs or is killed. Without `bytes` and `seconds`, a part then ends after a sixth of the
        window, and at most that much more stays. Windows of the last ten runs at the path stay. `rerun_mp.snapshot`
        writes the window into one file. None: no window.

    Without `bytes`, `seconds` and `keep_last`, a part ends only at `rerun_mp.next_episode()`, which ends it in each
    case.

    Raises
    ------
    InvalidArgumentError
        If a number of bytes is no whole number from 4096 on, of parts from 1 on, or of seconds above 0.

    Examples
    --------
    >>> Rotation(bytes=1 << 30, seconds=3600, keep_parts=100)
    Rotation(bytes=1073741824, seconds=3600, keep_parts=100)
    >>> Rotation(keep_last=60)
    Rotation(seconds=10.0, keep_last=60)
    """

    __slots__ = ("bytes", "keep_bytes", "keep_last", "keep_parts", "keep_seconds", "seconds")

    bytes: int | None
    seconds: float | None
    keep_parts: int | None
    keep_bytes: int | None
    keep_seconds: float | None
    keep_last: float | None

    def __init__(
        self,
        *,
        bytes: int | None = None,  # noqa: A002 (a unit)
        seconds: float | None = None,
        keep_parts: int | None = None,
        keep_bytes: int | None = None,
        keep_seconds: float | None = None,
        keep_last: float | None = None,
    ) -> None:
        given = (bytes, seconds, keep_parts, keep_bytes, keep_seconds, keep_last)
        for name, value in zip(FIELDS, given, strict=True):
            least = MINIMA.get(name)
            if value is not None and least is not None and (not isinstance(value, int) or value < least):
                raise InvalidArgumentError(f"argument {name!r}: {value!r} is no whole number from {least} on")
            if value is not None and least is None and (not isinstance(value, int | float) or not value > 0):
                raise InvalidArgumentError(f"argument {name!r}: {value!r} is no number of seconds above 0")
            object.__setattr__(self, name, value)
        if keep_last is not None and bytes is None and seconds is None:
            object.__setattr__(self, "seconds", keep_last / PARTS_OF_WINDOW)

    @classmethod
    def of_values(cls, values: Values) -> Rotation:
        """Return the rotation that `values` came from."""
        return cls(**dict(zip(FIELDS, values, strict=False)))  # type: ignore[arg-type]

    @property
    def values(self) -> Values:
        """The arguments in their order, as a sink's configuration holds them."""
        return self.bytes, self.seconds, self.keep_parts, self.keep_bytes, self.keep_seconds, self.keep_last

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__!r} object is frozen; make another one to have another {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rotation) and other.values == self.values

    def __hash__(self) -> int:
        return hash((Rotation, self.values))

    def __repr__(self) -> str:
        given = (f"{name}={value!r}" for name, value in zip(FIELDS, self.values, strict=True) if value is not None)
        return f"Rotation({', '.join(given)})"

    def __reduce__(self) -> tuple[object, ...]:
        return Rotation.of_values, (self.values,)


class ClosedPart(NamedTuple):
    """A complete part of a file that rotates."""

    path: str
    """Absolute path. The file may have been moved or removed since."""
    number: int
    """Its number in the file's name."""
    application_id: str
    recording_id: str
    host: str
    """Name of the host that wrote it."""
    session: str
    """The beginning of the session's nonce, 16 hex digits. Host, session, recording and number name a part."""
    rows: int
    """Number of rows that processes logged."""
    bytes: int
    """Size of the file in bytes."""
    closed_ns: int
    """When it was complete, nanoseconds since the epoch."""


class PartList(NamedTuple):
    """The content of a part list."""

    parts: list[ClosedPart]
    removed_parts: int = 0
    """Number of parts that the collector has removed, because they were beyond the bounds of a `Rotation`."""
    removed_rows: int = 0
    """Number of the rows in them that processes logged."""
    removing: list[str] = []  # noqa: RUF012 (nothing changes it)
    """Paths of removed parts. A collector that was killed may have left their files."""


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


def is_part_or_list(file: str, path: str) -> bool:
    """Return whether `file` has the name of a part, or of the part list, of `path`."""
    return file == part_list_path(path) or (
        os.path.dirname(file) == os.path.dirname(path) and _names_part(os.path.basename(file), path)
    )


def closed_parts(path: str, since: int = 0) -> list[ClosedPart]:
    """Return the complete parts of the file `path` as its part list names them, in the order of their completion.

    A line that was cut off by a crash is left out. `since`: offset in bytes of the first line to read.
    """
    return read_part_list(path, since).parts


def read_part_list(path: str, since: int = 0) -> PartList:
    """Return the content of the part list of `path`; nothing if there is no list.

    A line that is no line of a part list is left out, and so is each name that no part of `path` can have: the
    collector removes the files that the list names. `since`: offset in bytes of the first line to read.
    """
    parts: list[ClosedPart] = []
    removed_parts = removed_rows = 0
    removing: list[str] = []
    directory = os.path.dirname(path)
    try:
        with open(part_list_path(path), "rb") as file:
            file.seek(since)
            for line in file:
                try:
                    raw = json.loads(line)
                    if "removed_parts" in raw:
                        removed_parts, removed_rows = int(raw["removed_parts"]), int(raw["removed_rows"])
                        names = [name for name in raw["removing"] if _names_part(name, path)]
                        removing = [os.path.join(directory, name) for name in names]
                    elif _names_part(raw["file"], path):
                        parts.append(_part_of(os.path.join(directory, raw.pop("file")), raw))
                except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
                    continue
    except OSError:
        pass
    return PartList(parts, removed_parts, removed_rows, removing)


@contextlib.contextmanager
def lock_part_list(path: str) -> Iterator[None]:
    """Hold the part list of `path` while it is changed: a recovery may complete another run's parts at the same path.

    The lock is on the directory, so that no file lies beside the list. A file system without locks has none, and a
    process that holds the lock for longer than `LIST_LOCK_SECS` is none of ours: `flock DIRECTORY COMMAND` in a crontab
    holds it for as long as the program runs.
    """
    try:
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        _try_to_lock(directory)
        yield
    finally:
        os.close(directory)


def _try_to_lock(directory: int) -> None:
    import fcntl  # `Rotation` is loaded on every system

    deadline = time.monotonic() + LIST_LOCK_SECS
    with contextlib.suppress(OSError):
        while True:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return
                time.sleep(LIST_LOCK_PAUSE)
            else:
                return


def write_part_list(path: str, content: PartList) -> None:
    """Replace the part list of `path`.

    Raises
    ------
    OSError
        If the list cannot be written.
    """
    removing = [os.path.basename(one) for one in content.removing]
    head = {"removed_parts": content.removed_parts, "removed_rows": content.removed_rows, "removing": removing}
    listed = part_list_path(path)
    with open(f"{listed}.new", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in (head, *map(_line, content.parts)))
    os.replace(f"{listed}.new", listed)


def add_to_part_list(path: str, part: ClosedPart) -> None:
    """Append a part to the part list of `path`.

    Raises
    ------
    OSError
        If the list cannot be written.
    """
    with open(part_list_path(path), "a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        is_cut_off = size > 0 and file.read(1) != b"\n"
        file.write(b"\n" * is_cut_off + json.dumps(_line(part)).encode() + b"\n")


def _names_part(name: str, path: str) -> bool:
    stem = os.path.splitext(os.path.basename(path))[0]
    return re.fullmatch(rf"{re.escape(stem)}\.\d{{4,}}(\.[^/]*)?", name) is not None


def _part_of(path: str, fields: dict[str, object]) -> ClosedPart:
    part = ClosedPart(path, **fields)  # type: ignore[arg-type]
    if not all(isinstance(one, int) for one in (part.number, part.rows, part.bytes, part.closed_ns)):
        raise TypeError(fields)
    return part


def _line(part: ClosedPart) -> dict[str, object]:
    raw = {**part._asdict(), "file": os.path.basename(part.path)}
    del raw["path"]
    return raw
