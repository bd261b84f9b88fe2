"""Requests for snapshots: the collector writes all rows that it still has of a recording into one file.

The request lies in the session's configuration, so it outlives the process that made it, and a collector that was
killed: the successor writes the file. The answers lie in a file in the runtime directory. The worker alone writes that
file. Any process and thread may call.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from rerun_mp.errors import FlushTimeoutError, InvalidArgumentError, ResourceError
from rerun_mp.session import directories
from rerun_mp.session.config import SnapshotSpec
from rerun_mp.session.file_claims import claim_of
from rerun_mp.session.rotation import is_part_or_list
from rerun_mp.session.sink_changes import deliver
from rerun_mp.session.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.config import SessionConfig, SinkSpec
    from rerun_mp.session.session import Session
    from rerun_mp.shm.segment import Segment

__all__ = ["read_answers", "take_snapshot", "write_answers"]

ANSWERS_NAME = "snapshots.json"


def take_snapshot(session: Session, key: RecordingKey, path: str, *, wait: bool, timeout: float) -> None:
    """Ask the collector for a snapshot, which has all rows that any process has logged before.

    Parameters
    ----------
    session, key
        The session and the recording.
    path
        Absolute real path of the file.
    wait
        Whether to return when the file is complete, and not when the collector can read the request.
    timeout
        Maximum seconds until the rows are stored, and again until the file is complete.

    Raises
    ------
    InvalidArgumentError
        If a sink of the session writes to `path`.
    FlushTimeoutError
        If the collector takes longer. It goes on.
    ResourceError
        If the file cannot be written.
    """
    if any(_writes(sink, path) for spec in session.config().recordings for sink in spec.sinks):
        raise InvalidArgumentError(f"argument 'path': {path} is a file that the session writes; give another path")
    deliver(session, timeout)
    spec = SnapshotSpec(os.urandom(8).hex(), *key, path, claim_of(path))
    answers = read_answers(session.segment)

    def ask(config: SessionConfig) -> SessionConfig:
        return replace(config, snapshots=(*(one for one in config.snapshots if one.token not in answers), spec))

    def forget(config: SessionConfig) -> SessionConfig:
        return replace(config, snapshots=tuple(one for one in config.snapshots if one != spec))

    session.config_editor.edit(ask)
    if not wait:
        return
    found: dict[str, str] = {}

    def is_answered() -> bool:
        found.update(read_answers(session.segment))
        return spec.token in found

    if not wait_until(is_answered, timeout, meanwhile=session.watch_collector):
        raise FlushTimeoutError(f"after {timeout} s the collector has not written the snapshot {path}; it goes on")
    session.config_editor.edit(forget)
    if found[spec.token]:
        raise ResourceError(f"the snapshot {path} cannot be written: {found[spec.token]}")


def _writes(sink: SinkSpec, path: str) -> bool:
    """Return whether `path` is the file of a sink, or has the name of a part or the part list of one that rotates."""
    is_in_series = sink.rotation is not None and sink.wanted is not None and is_part_or_list(path, sink.wanted)
    return path in (sink.target, sink.wanted) or is_in_series


def read_answers(segment: Segment) -> dict[str, str]:
    """Return the answers to requests: token -> why the file cannot be written, or "" if it is complete."""
    try:
        with open(os.path.join(segment.runtime_directory, ANSWERS_NAME), encoding="utf-8") as file:
            return {str(token): str(failure) for token, failure in json.load(file).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def write_answers(segment: Segment, answers: Mapping[str, str]) -> None:
    """Replace the answers.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    directories.replace_file(segment.runtime_directory, ANSWERS_NAME, json.dumps(answers))
