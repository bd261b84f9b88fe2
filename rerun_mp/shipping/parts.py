"""Names and places of the parts that a node ships.

A part is one complete .rrd file. Once it has its final name it never changes. Node and head keep it at the same path
below their directories::

    <recording>/<host>-<nonce>/<number>-<rows>-rows.rrd          the part
    <recording>/<host>-<nonce>/.<name>.partial                   a part that is not complete, such as an upload
    .nodes/<recording>/<host>-<nonce>.json                       on the head: what the node has said last
    .open/<host>-<nonce>/part.<number>.rrd                       on the node: parts that the collector writes
    <recording>/<host>-<nonce>/.to.json                          on the node: where its parts go

So equal paths are equal parts, whichever way they came. Any process and thread may call.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from rerun_mp.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "NODES",
    "OPEN",
    "PartName",
    "close_part",
    "node_directory",
    "node_files",
    "parts_below",
    "parts_url",
    "read_target",
    "sync_directory",
    "write_target",
]

OPEN = ".open"
NODES = ".nodes"
TARGET = ".to.json"
SEGMENT = re.compile(r"[\w-][\w.-]{0,199}", re.ASCII)
"""A name in a part's path. It cannot lead out of the directory, and is no hidden file."""
FILE = re.compile(r"(\d{4,9})-(\d{1,15})-rows\.rrd", re.ASCII)


class PartName(NamedTuple):
    """A part: the recording that it belongs to, the node that wrote it, and its number there."""

    recording: str
    node: str
    number: int
    rows: int
    """Rows of the part, those of the collector included."""

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.number:04}-{self.rows}-rows.rrd"

    @property
    def path(self) -> str:
        """The path below the directory of a node or head."""
        return f"{self.recording}/{self.node}/{self.file}"

    @classmethod
    def parse(cls, path: str) -> PartName:
        """Return the part with this path.

        Raises
        ------
        InvalidArgumentError
            If the path names no part.
        """
        recording, _, rest = path.partition("/")
        node, _, file = rest.partition("/")
        found = FILE.fullmatch(file)
        if found is None or not SEGMENT.fullmatch(recording) or not SEGMENT.fullmatch(node):
            raise InvalidArgumentError(f"{path!r} is not the path of a part")
        return cls(recording, node, int(found[1]), int(found[2]))


def parts_url(head: str) -> str:
    """Return the address of the receiver beside the live view at `head`: the next port on the same host.

    It is encrypted if the live view is, so that one proxy with TLS serves both.
    """
    parts = urlsplit(head)
    host = parts.hostname or "127.0.0.1"
    scheme = "http" if parts.scheme == "rerun+http" else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{(parts.port or 9876) + 1}"


def node_directory(root: str | Path, recording: str, node: str) -> Path:
    """Return the directory of a node's parts of one recording.

    Raises
    ------
    InvalidArgumentError
        If a name cannot be part of a path.
    """
    if not SEGMENT.fullmatch(recording) or not SEGMENT.fullmatch(node):
        raise InvalidArgumentError(f"{recording!r} and {node!r} are not the names of a recording and a node")
    return Path(root) / recording / node


def parts_below(root: str | Path) -> list[tuple[PartName, Path]]:
    """Return the closed parts below a directory, sorted by name."""
    found = []
    for path in Path(root).glob("*/*/*.rrd"):
        try:
            found.append((PartName.parse(path.relative_to(root).as_posix()), path))
        except InvalidArgumentError:
            continue  # another file
    return sorted(found)


def close_part(path: str | Path, directory: Path, rows: int, number: int = 1) -> Path:
    """Give a complete file its final name in its node's directory. Doing so again changes nothing.

    Raises
    ------
    OSError
        If it cannot be renamed. The file stays where it is.
    """
    final = directory / PartName("x", "x", number, rows).file
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    os.rename(path, final)
    sync_directory(directory)
    return final


def write_target(directory: Path, target: str) -> None:
    """Note where the parts in a node's directory go, for shippers that come later."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / (TARGET + ".new")).write_text(json.dumps({"to": target}), encoding="utf-8")
    os.replace(directory / (TARGET + ".new"), directory / TARGET)


def read_target(directory: Path) -> str | None:
    """Return where the parts in a node's directory go; None if nothing says so."""
    try:
        target = json.loads((directory / TARGET).read_text(encoding="utf-8"))["to"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return target if isinstance(target, str) else None


def sync_directory(path: str | Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def node_files(root: str | Path) -> Iterator[Path]:
    """Yield what each node has said last to the head with this directory."""
    yield from sorted((Path(root) / NODES).glob("*/*.json"))
