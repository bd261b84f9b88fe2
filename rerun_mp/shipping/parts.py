"""Names and places of the parts that a node ships.

A part is one complete .rrd file. Once it has its final name it never changes. Node and head keep it at the same path
below their directories::

    <recording>/<host>-<nonce>/<number>-<rows>-rows.rrd          the part
    <recording>/<host>-<nonce>/.<name>.partial                   a part that is not complete, such as an upload
    .nodes/<recording>/<host>-<nonce>.json                       on the head: what the node has said last
    .open/<host>-<nonce>/part.<number>.rrd                       on the node: parts that the collector writes
    <recording>/<host>-<nonce>/.to.json                          on the node: where its parts go
    <recording>/<host>-<nonce>/.end.json                         on the node: its final status, which the head lacks yet

So equal paths are equal parts, whichever way they came. Any process and thread may call.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from rerun_mp.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "NODES",
    "OPEN",
    "PartName",
    "close_part",
    "file_mark",
    "node_directory",
    "node_files",
    "parts_below",
    "parts_url",
    "read_end",
    "read_target",
    "remove_if_empty",
    "sync_directory",
    "unreported_ends",
    "write_end",
    "write_target",
]

OPEN = ".open"
NODES = ".nodes"
TARGET = ".to.json"
END = ".end.json"
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


def file_mark(path: str | Path) -> str:
    """Return a text that is equal for two paths of one file, on one host or on several, and differs for a copy."""
    status = os.stat(path)
    return f"{status.st_ino}-{status.st_mtime_ns}"


def write_target(directory: Path, target: str) -> None:
    """Note where the parts in a node's directory go, for shippers that come later."""
    _write(directory / TARGET, {"to": target})


def read_target(directory: Path) -> str | None:
    """Return where the parts in a node's directory go; None if nothing says so."""
    try:
        target = _object((directory / TARGET).read_bytes()).get("to")
    except OSError:
        return None
    return target if isinstance(target, str) else None


def write_end(directory: Path, status: Mapping[str, Any]) -> None:
    """Write the final status of a node that has ended. A shipper brings it to the head."""
    _write(directory / END, status)


def read_end(directory: Path) -> dict[str, Any]:
    """Return the final status of a node; empty if the file is damaged.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return _object((directory / END).read_bytes())


def unreported_ends(root: str | Path) -> list[Path]:
    """Return the files below a directory with final statuses that the head lacks, sorted by name."""
    return sorted(Path(root).glob(f"*/*/{END}"))


def remove_if_empty(directory: Path) -> None:
    """Remove a node's directory when its last part is gone, the node has ended, and the head knows that."""
    if (directory.parents[1] / OPEN / directory.name).exists():
        return
    with contextlib.suppress(OSError):
        if not any(name == END or name.endswith(".rrd") for name in os.listdir(directory)):
            (directory / TARGET).unlink()
            directory.rmdir()
            directory.parent.rmdir()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(content), encoding="utf-8")
    os.replace(new, path)


def _object(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


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
