"""Files of earlier runs that a run adds to: `save(path, mode="append" | "resume")`.

A worker adds to the file of the workers that it replaces, also if all of them had ended and their session with them
(`uvicorn --limit-max-requests`, `gunicorn --max-requests`): the program that starts the workers still runs.

The file stays at its path until the collector puts the complete one there (`collector.store.other_recordings`). The
functions here wait until earlier sessions have completed the file, claim it as it is, and find the recording that goes
on. Any process and thread may call.
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import chain, islice, takewhile
from typing import TYPE_CHECKING

from rerun_mp.encoding.log_messages import batch_of
from rerun_mp.encoding.rrd_files import MessageKind, messages_in_file
from rerun_mp.encoding.rrd_stores import Store, stores_in
from rerun_mp.errors import CorruptionError, InvalidArgumentError, ResourceError
from rerun_mp.session import kinship, recovery_notes
from rerun_mp.session.file_claims import HeldError, claim_existing, has_begun, is_in_place, numbered_paths
from rerun_mp.session.ownership import BusyError, await_completion, busy
from rerun_mp.session.rotation import existing_parts

if TYPE_CHECKING:
    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.config import SinkSpec
    from rerun_mp.shm.segment import Segment

__all__ = ["as_successor", "await_earlier_runs", "keep_file"]

MAX_FIRST = 256
"""Maximum messages of a file that are searched for the recording's start time."""


def await_earlier_runs(segment: Segment, sink: SinkSpec) -> None:
    """Wait until earlier runs have completed the file that a sink adds to. Other sinks do not wait.

    Raises
    ------
    BusyError
        If another program writes the file.
    ResourceError
        If a killed run's rows are not all in it in time.
    """
    if sink.is_added_to and sink.rotation is None and os.path.isfile(sink.target):
        await_completion(segment, sink.target)
        recovery_notes.take(sink.target)  # its rows stay at the path


def as_successor(
    segment: Segment,
    sink: SinkSpec,
    key: RecordingKey,
    parent: int,
    *,
    is_default: bool,
    is_proof: bool,
    is_alone: bool,
) -> SinkSpec:
    """Return the sink that adds to the file of workers that this one replaces, if there is one; else the same sink.

    A recording that is in the file goes on. A recording with its default id is added to a file that lacks it. While a
    living worker writes the file, that of another worker beside it takes its place. A file that this process has
    begun is begun anew, as with rerun. So is a file of another run of the program: the file of this run is
    younger than the program, or has a recording whose id no other run gives. The second holds also if the clock was
    set forward since then.

    Parameters
    ----------
    key
        The recording.
    parent
        The id of the process that has started this one and the workers before it.
    is_default
        Whether the recording has its default id. Workers with the same key have the same.
    is_proof
        Whether no other run of the program gives a recording this id.
    is_alone
        Whether the other workers have sessions of their own. Those of one session have the file in common.
    """
    path, own = sink.target, Store(False, *key)
    if sink.kind != "file" or sink.mode == "resume" or sink.rotation is not None or has_begun(path):
        return sink
    began_ns = kinship.started_ns(parent)
    # The program has said itself that a recording is added to this file; only one that is there already goes on.
    others = () if sink.is_added_to else numbered_paths(path)
    for number, candidate in enumerate(takewhile(os.path.isfile, chain([path], others))):
        try:
            if _may_be_of_this_run(candidate, own, began_ns, is_default=is_default, is_proof=is_proof):
                await_completion(segment, candidate)
                stores = [one for one in stores_in(candidate) if not one.is_blueprint]
                is_common = is_alone or any(one.application_id == key.application_id for one in stores)
                if own in stores or (stores and is_default and is_common and not sink.is_added_to):
                    if is_alone:
                        claim_existing(candidate)  # now, so that workers that begin together take one file each
                    recovery_notes.take(candidate)  # its rows stay at the path
                    wanted = path if number else sink.wanted
                    return replace(sink, target=candidate, wanted=wanted, mode="resume" if own in stores else "append")
        except (BusyError, HeldError):
            continue
        except (OSError, CorruptionError):
            pass
        if not number:
            return sink
    return sink if sink.is_added_to or not os.path.isfile(path) else replace(sink, mode="resume")


def _may_be_of_this_run(path: str, own: Store, began_ns: int, *, is_default: bool, is_proof: bool) -> bool:
    """Say whether workers of this run may have written a file, before it is complete. Parameters as `as_successor`."""
    status = os.stat(path)
    is_young = status.st_mtime_ns >= began_ns
    if is_young and (is_default or not status.st_size):
        return True
    return (is_young or is_proof) and own in stores_in(path)


def keep_file(sink: SinkSpec, key: RecordingKey, *, is_own_id: bool) -> SinkSpec:
    """Claim the file that a sink adds to as it is, and return the sink with what was found in it.

    The sink's mode becomes "new" if there is nothing to keep: no file, an empty one, or parts that are kept anyway.

    Parameters
    ----------
    key
        The recording that is added.
    is_own_id
        Whether the program has chosen the recording's id itself. Then no other recording goes on.

    Raises
    ------
    InvalidArgumentError
        If no recording in the file can go on, or the file has the new recording already.
    BusyError
        If another program writes the file.
    ResourceError
        If the file cannot be read or claimed, or cannot be replaced at once.
    """
    path = sink.target
    if sink.rotation is not None:
        parts = [part for _, part in sorted(existing_parts(path)) if os.path.getsize(part)]
        found = _chosen(parts[-1], sink, key, is_own_id=is_own_id) if parts and sink.mode == "resume" else sink
        return replace(found, mode="new")
    if not os.path.isfile(path) or not os.path.getsize(path):
        return replace(sink, mode="new")
    if is_in_place(path):
        raise ResourceError(
            f"{path} can only be written in place, and a run that is killed meanwhile would lose its rows; "
            "give another path, or mode='new' to overwrite it"
        )
    chosen = _chosen(path, sink, key, is_own_id=is_own_id)
    try:
        return replace(chosen, claim=claim_existing(path))
    except HeldError:
        raise busy(path) from None


def _chosen(path: str, sink: SinkSpec, key: RecordingKey, *, is_own_id: bool) -> SinkSpec:
    """Return the sink with the recording of the file that goes on."""
    try:
        recordings = [store for store in stores_in(path) if not store.is_blueprint]
    except CorruptionError as error:
        raise ResourceError(f"{path} cannot be added to: {error}; give another path") from error
    own = Store(False, *key)
    if sink.mode == "append":
        if own in recordings:
            raise InvalidArgumentError(
                f"{path} holds recording {key.recording_id!r} already; mode='resume' goes on with it"
            )
        return sink
    ours = [store for store in recordings if store.application_id == key.application_id]
    if own in ours or not recordings:
        return replace(sink, began_ns=_start_of(path, own))
    if not ours:
        others = ", ".join(sorted({repr(store.application_id) for store in recordings}))
        raise InvalidArgumentError(
            f"{path} holds recordings of {others} and none of {key.application_id!r} to go on with; "
            "give another path, or mode='append'"
        )
    if is_own_id:
        raise InvalidArgumentError(
            f"{path} holds no recording {key.recording_id!r} to go on with, but "
            f"{', '.join(repr(store.recording_id) for store in ours)}; give init() one of these, or no recording_id"
        )
    return replace(sink, recording_id=ours[-1].recording_id, began_ns=_start_of(path, ours[-1]))


def _start_of(path: str, store: Store) -> int | None:
    """Return when a recording in a file began, nanoseconds since the epoch; None: the file does not say it."""
    for kind, payload in islice(messages_in_file(path), MAX_FIRST):
        if kind == MessageKind.CHUNK and store.names(payload):
            try:
                batch = batch_of(payload)
            except (OSError, ValueError) as error:
                raise ResourceError(
                    f"{path} cannot be added to: one of its chunks is damaged; give another path"
                ) from error
            if "RecordingInfo:start_time" in batch.schema.names:
                values = batch.column("RecordingInfo:start_time").to_pylist()
                return next((int(value[0]) for value in values if value), None)
    return None
