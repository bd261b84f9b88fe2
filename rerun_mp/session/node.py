"""This session as one node of a job. A job has several hosts and one recording, or it has a head.

The founder writes the node into the configuration. The collector reads it there, because it has none of the variables
that name job and head. Every recording of a node with a head has two more sinks. One is the head's live view, which may
forget rows. The other is a file on this host's disk that rotates. The collector ships its parts. Any thread may call.
"""

from __future__ import annotations

import contextlib
import glob
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import ResourceError
from rerun_mp.session import directories
from rerun_mp.session.config import NODE_OWNER, NodeSpec, SinkSpec
from rerun_mp.session.host_names import host_name
from rerun_mp.session.jobs import recording_key_of
from rerun_mp.session.kinship import boot_id
from rerun_mp.session.refusals import as_resource_error
from rerun_mp.session.rotation import Rotation, closed_parts, part_path
from rerun_mp.shipping.parts import (
    NODES,
    OPEN,
    close_part,
    node_directory,
    parts_url,
    read_target,
    write_end,
    write_target,
)

if TYPE_CHECKING:
    from rerun_mp.session.config import SessionConfig
    from rerun_mp.session.jobs import Job
    from rerun_mp.session.session import Session
    from rerun_mp.settings import Settings

__all__ = [
    "close_parts",
    "node_name",
    "node_of",
    "node_status",
    "note_end",
    "open_directory",
    "place_of_part",
    "recording_name",
    "remove_open_directory",
    "report_order",
    "set_node",
]

MIN_PART_BYTES = 4096
"""Minimum of the bytes after which a part ends: `Rotation` takes no smaller number."""
PART = "part.rrd"
"""Name of the file that rotates and is shipped."""


def node_of(job: Job | None, settings: Settings) -> NodeSpec | None:
    """Return the node that a new session of this job is; None if its job has this host alone, and no head."""
    has_parts = bool(settings.head or settings.ship_to)
    if not has_parts and (job is None or not job.spans_hosts):
        return None
    key = None if job is None else recording_key_of(job)
    node = NodeSpec(host_name(), "" if job is None else job.name, "" if key is None else key.hex())
    if not has_parts:
        return node
    ship_to = settings.ship_to or parts_url(settings.head)
    return node._replace(
        head=settings.head,
        ship_to=ship_to if "://" in ship_to else os.path.abspath(ship_to),
        token=settings.head_token,
        parts=os.path.abspath(settings.parts_directory or os.path.join(directories.rescue_base(), "parts")),
        part_bytes=max(settings.part_bytes, MIN_PART_BYTES),
        part_seconds=max(settings.part_seconds, 0.1),
        parts_bytes=settings.parts_bytes,
        ship_timeout=settings.ship_timeout,
    )


def recording_name(recording: RecordingKey) -> str:
    """Return a recording's name in the paths of parts."""
    return "-".join(directories.name_of(*recording))


def close_parts(root: str, ends: dict[str, int] | None = None) -> None:
    """Give the complete parts of all sessions, living and ended, their final names. Any process may call.

    `ends` maps the path of each part list to the offset up to which its lines have been read. If all calls of a process
    get the same mapping, each line is read once.

    Raises
    ------
    OSError
        If a part cannot be renamed. It stays where it is.
    """
    ends = {} if ends is None else ends
    for name in glob.glob(f"{glob.escape(os.path.join(root, OPEN))}/*/*.parts.jsonl"):
        open_ = Path(name).parent
        end = _end_of_lines(name)
        if end == ends.get(name):
            continue
        for part in closed_parts(name.removesuffix(".parts.jsonl") + ".rrd", ends.get(name, 0)):
            if os.path.exists(part.path):
                recording = recording_name(RecordingKey(part.application_id, part.recording_id))
                directory = node_directory(root, recording, open_.name)
                target = read_target(open_) or ""
                if read_target(directory) != target:  # on a full disk, a second write would fail
                    write_target(directory, target)
                with contextlib.suppress(FileNotFoundError):  # another process has renamed it
                    close_part(part.path, directory, part.rows, part.number)
        ends[name] = end


def _end_of_lines(path: str) -> int:
    """Return the size of a part list; 0 if a crash has cut off its last line, which may be written again."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return size if file.read(1) == b"\n" else 0
    return 0


def node_status(node: NodeSpec, recording: RecordingKey, state: str, rows: int) -> dict[str, Any]:
    """Return the state of a node and one of its recordings, as the head gets it. `rows`: those that are stored."""
    return {
        "application_id": recording.application_id,
        "recording_id": recording.recording_id,
        "host": node.host,
        "job": node.job,
        "state": state,
        "stored": rows,
    }


def report_order() -> dict[str, Any]:
    """Return the boot and a number by which the head orders a node's reports. The wall clock may be set back."""
    return {"boot": boot_id(), "order": time.clock_gettime_ns(time.CLOCK_BOOTTIME)}


def note_end(node: NodeSpec, nonce: bytes, recording: RecordingKey, rows: int) -> None:
    """Write that a recording of this node has ended into its directory. A shipper reports that to the head.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    directory = node_directory(node.parts, recording_name(recording), node_name(node, nonce))
    write_target(directory, node.ship_to)
    write_end(directory, {**node_status(node, recording, "ended", rows), **report_order()})


def place_of_part(path: str, recording: RecordingKey) -> str:
    """Return where the rows of a node's open part are now, for people. Any other path is returned as it is."""
    open_, name = os.path.split(os.path.dirname(path))
    root = os.path.dirname(open_)
    if os.path.basename(open_) != OPEN or os.path.exists(path):
        return path
    directory = node_directory(root, recording_name(recording), name)
    return str(directory) if directory.exists() else f"parts that have been shipped from {root}"


def remove_open_directory(path: str) -> None:
    """Remove the directory of an ended session's parts, if all of them are closed."""
    if not glob.glob(f"{glob.escape(path)}/*.rrd"):
        directories.remove_tree(path)


def set_node(founded: Session, job: Job | None, settings: Settings) -> None:
    """Write the node that a new session is into its configuration, if it is one."""
    here = node_of(job, settings)

    def change(config: SessionConfig) -> SessionConfig:
        node = here or config.node  # a session that continues an ended one may have lost the variables
        return config if node is None else with_node(config, node, founded.segment.nonce)

    if here is not None or founded.config().node is not None:
        founded.config_editor.edit(change)
        founded.must_complete = True


def node_name(node: NodeSpec, nonce: bytes) -> str:
    """Return the name of one session of a node, by which its parts differ from all others."""
    return f"{node.host}-{nonce.hex()[:16]}"


def open_directory(node: NodeSpec, nonce: bytes) -> str:
    """Return the directory of the parts that the collector writes."""
    return os.path.join(node.parts, OPEN, node_name(node, nonce))


def with_node(config: SessionConfig, node: NodeSpec, nonce: bytes) -> SessionConfig:
    """Return the configuration of a new session that is this node. Its recordings get the node's sinks.

    Raises
    ------
    ResourceError
        If the directory for the parts cannot be made, or is the one that parts go to.
    """
    sinks: list[SinkSpec] = []
    if node.parts:
        _check_apart(node)
        directory = open_directory(node, nonce)
        with as_resource_error(
            f"the directory {node.parts} for this host's parts (RERUN_MP_PARTS_DIRECTORY) cannot be made"
        ):
            _make_shared(node.parts)
            os.makedirs(directory, mode=0o700, exist_ok=True)
            write_target(Path(directory), node.ship_to)
        rotation = Rotation(bytes=node.part_bytes, seconds=node.part_seconds).values
        sinks.append(SinkSpec("file", os.path.join(directory, PART), NODE_OWNER, rotation=rotation))
    if node.head:
        sinks.append(SinkSpec("grpc", node.head, NODE_OWNER))
    # A session that continues an ended one takes over its sinks. Their parts are closed.
    others = tuple(sink for sink in config.default_sinks if sink.owner != NODE_OWNER)
    config = replace(config, node=node, default_sinks=(*others, *sinks))
    for spec in config.recordings:
        kept = tuple(sink for sink in spec.sinks if sink.owner != NODE_OWNER)
        config = config.with_recording(replace(spec, sinks=kept))
        mine = tuple(_begun(sink) for sink in config.default_sinks_of(spec.key) if sink.owner == NODE_OWNER)
        config = config.with_recording(replace(spec, sinks=(*kept, *mine)))
    return config


def _check_apart(node: NodeSpec) -> None:
    """Check that parts do not wait where they go to: a part that has come there is removed where it has waited.

    Raises
    ------
    ResourceError
        If they do.
    """
    is_heads = os.path.isdir(os.path.join(node.parts, NODES))
    if is_heads or ("://" not in node.ship_to and os.path.realpath(node.parts) == os.path.realpath(node.ship_to)):
        raise ResourceError(
            f"{node.parts} is the directory of a head, or one that parts go to. Parts that wait need another one: set "
            "RERUN_MP_PARTS_DIRECTORY"
        )


def _make_shared(parts: str) -> None:
    """Make the directory of all sessions' open parts. Users that share the directory above it share this one, too."""
    os.makedirs(parts, exist_ok=True)
    open_ = os.path.join(parts, OPEN)
    with contextlib.suppress(FileExistsError):
        os.mkdir(open_)
        os.chmod(open_, stat.S_IMODE(os.stat(parts).st_mode))


def _begun(sink: SinkSpec) -> SinkSpec:
    """Return a sink with the path of its first part. Its directory belongs to this session alone."""
    return sink if sink.kind != "file" else replace(sink, target=part_path(sink.target, 1), wanted=sink.target)
