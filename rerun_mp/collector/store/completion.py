"""How a part of the user's file is begun, and how its parts become the one complete file that the user asked for.

- One whole part lies at the user's path already: nothing is copied.
- Several parts, or one without its footer, are copied as a stream into a new file, repeated chunk ids left out, which
  is renamed over the path. If somebody else has put another file there since, theirs stays: the later run has the path.
  What a recovery finds then, or where the path cannot be written any more, goes to another path.
- A path that is no regular file (a device, a pipe) has got its rows directly. It is never renamed over.

A collector may be killed at any point here: the journal knows the new file before it has the path, and what is left
under hidden names is removed by whoever completes the file. Called by the store, in the worker's main thread.
"""

from __future__ import annotations

import glob
import os
import shutil
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rerun_mp.collector.messages import say
from rerun_mp.collector.store.parts import Journal, Part
from rerun_mp.collector.store.rerun_sinks import SinkWriter, merge, open_file
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import CorruptionError, FlushTimeoutError, ResourceError
from rerun_mp.session.config import Blueprint, SinkSpec
from rerun_mp.session.directories import claim_of, is_claimed

__all__ = ["complete", "is_special", "open_part"]

CLOSE_SECS = 30.0


def is_special(path: str) -> bool:
    """Whether something lies at `path` that is not a regular file."""
    return os.path.exists(path) and not os.path.isfile(path)


def open_part(
    part: Part, recording: RecordingKey, target: SinkSpec | None, blueprint: Blueprint | None = None
) -> SinkWriter:
    """Create the file of `part`, with the footer and default blueprint that `target` wants if it is the user's.

    `blueprint` is the one that the user has sent; it comes next.

    Raises
    ------
    OSError
        If it cannot be created or written, or it is a pipe that nobody reads.
    """
    if target is None:
        writer = open_file(part.path, recording)
    else:
        pipe = None
        if os.path.exists(part.path) and stat.S_ISFIFO(os.stat(part.path).st_mode):
            # rerun-sdk would wait for a reader without end; this raises if there is none.
            pipe = os.open(part.path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            writer = open_file(part.path, recording, write_footer=target.write_footer, blueprint=target.blueprint)
            if blueprint is not None:
                writer.send_blueprint(recording, blueprint)
        finally:
            if pipe is not None:
                os.close(pipe)
    part.prelude = writer.prelude
    part.settle()
    return writer


def complete(
    journal: Journal,
    recording: RecordingKey,
    *,
    lock: threading.Lock,
    has_room: Callable[[str, int], bool],
    give_up: Callable[[Part], None],
    otherwise: str | None = None,
    is_final: bool = True,
) -> None:
    """Complete the journal's target, whose writer is closed, and let go of it.

    Parameters
    ----------
    journal, recording
        Of the store.
    lock
        Held while the journal's list of parts changes.
    has_room
        `has_room(path, bytes)` says whether a disk has space.
    give_up
        Counts the rows of a part that cannot be brought into the target any more.
    otherwise
        The path of a file that takes the rows if the target cannot be written, or is another program's by now.
    is_final
        False: keep the target. What is complete now is its first part from now on.

    Raises
    ------
    ResourceError, FlushTimeoutError
        If the file cannot be written. All parts are still there, and calling again tries again.
    """
    target = journal.target
    assert target is not None
    try:
        _complete(journal, recording, target, lock, has_room, give_up, otherwise, is_final)
    except (ResourceError, FlushTimeoutError) as error:
        if otherwise is None or target.target == otherwise:
            raise
        say(f"rerun_mp: {error}")
        os.makedirs(os.path.dirname(otherwise), exist_ok=True)
        hidden = glob.escape(journal.hidden_path(target.target, 0)[:-1]) + "*"
        other = SinkSpec("file", otherwise, write_footer=target.write_footer, blueprint=target.blueprint)
        journal.begin_target(other)
        journal.copies = ()
        journal.save()
        _complete(journal, recording, other, lock, has_room, give_up, None, is_final=True)
        for path in glob.glob(hidden):
            os.unlink(path)


def _complete(
    journal: Journal,
    recording: RecordingKey,
    target: SinkSpec,
    lock: threading.Lock,
    has_room: Callable[[str, int], bool],
    give_up: Callable[[Part], None],
    otherwise: str | None,
    is_final: bool,
) -> None:
    parts = [part for part in journal.parts if part.purpose in ("file", "diverted")]
    if is_special(target.target):
        if not is_final:
            return
        for part in parts:
            if part.purpose == "diverted":
                give_up(part)
        whole = None
    else:
        whole = _whole_of(journal, recording, target, parts, has_room)
    with lock:
        journal.parts = [part for part in journal.parts if part not in parts]
        if whole is not None:
            journal.parts.append(whole)
    journal.save()
    if whole is not None:
        _publish(journal, target, whole, lock, otherwise)
        if is_final:
            whole.purpose = "retired"
    _remove_hidden(journal, target, kept=None if is_final else whole)
    for part in parts:
        if part.purpose == "diverted":
            part.unlink()
    if is_final:
        journal.target, journal.copies, journal.owned = None, (), []
    journal.save()


def _remove_hidden(journal: Journal, target: SinkSpec, *, kept: Part | None) -> None:
    """Remove the session's hidden files beside the target's path, but for one that is still needed."""
    for path in glob.glob(glob.escape(journal.hidden_path(target.target, 0)[:-1]) + "*"):
        if kept is None or path != kept.path:
            os.unlink(path)


def _publish(journal: Journal, target: SinkSpec, whole: Part, lock: threading.Lock, otherwise: str | None) -> None:
    """Put a complete part to the target's path, and copies of it to the others."""
    if whole.path != target.target and whole.exists():
        with lock:  # who reads it must not find it in neither place
            _place_unless_replaced(journal, whole, otherwise)
    journal.copies = tuple(_copy(journal, whole, spec) for spec in journal.copies)


def _whole_of(
    journal: Journal,
    recording: RecordingKey,
    target: SinkSpec,
    parts: list[Part],
    has_room: Callable[[str, int], bool],
) -> Part | None:
    """Return a complete part with all that there is, wherever it lies."""
    if len(parts) == 1 and parts[0].purpose == "file" and _is_as_good_as_whole(parts[0], target):
        return parts[0]
    return _merge(journal, recording, target, parts, has_room) if parts else None


def _is_as_good_as_whole(part: Part, target: SinkSpec) -> bool:
    # One that the user has moved away is complete where it is now.
    return part.is_whole(with_footer=target.write_footer) or not os.path.exists(part.path)


def _merge(
    journal: Journal,
    recording: RecordingKey,
    target: SinkSpec,
    parts: list[Part],
    has_room: Callable[[str, int], bool],
) -> Part:
    """Return a new part, still under its hidden name, that holds the chunks of `parts`, each once."""
    number = journal.take_number()
    path = journal.hidden_path(target.target, number)
    whole = Part(number, path, "file", first=parts[0].first, chunks=parts[-1].stop - parts[0].first)
    if not has_room(path, sum(part.size() for part in parts)):
        raise ResourceError(f"no space is left to complete {target.target}")
    writer = open_part(whole, recording, target, journal.blueprint)
    try:
        whole.repeated = merge([(chunk for _, chunk in part.read()) for part in parts], writer)
        writer.close(CLOSE_SECS)
        whole.is_ended = True
    except (ResourceError, FlushTimeoutError, CorruptionError) as error:
        writer.abandon()
        whole.unlink()
        raise ResourceError(f"{target.target} could not be completed: {error}") from error
    return whole


def _place_unless_replaced(journal: Journal, whole: Part, otherwise: str | None) -> None:
    if journal.owns_target():
        journal.place(whole)
        return
    assert journal.target is not None
    say(f"rerun_mp: another program has replaced {journal.target.target}; it is not written over")
    if otherwise is not None and whole.holds_rows():
        os.makedirs(os.path.dirname(otherwise), exist_ok=True)
        _copy_to(journal, whole, otherwise)


def _copy(journal: Journal, whole: Part, spec: SinkSpec) -> SinkSpec:
    """Copy the complete file, and return what is known of the copy then."""
    if not whole.is_readable():
        return spec
    if spec.claim is not None and os.path.exists(spec.target) and not is_claimed(spec.target, spec.claim):
        say(f"rerun_mp: another program has replaced {spec.target}; it is not written over")
        return spec
    try:
        _copy_to(journal, whole, spec.target)
    except ResourceError as error:
        say(f"rerun_mp: {error}")
        return spec
    return replace(spec, claim=claim_of(spec.target))


def _copy_to(journal: Journal, whole: Part, path: str) -> None:
    fresh = journal.hidden_path(path, whole.number)
    try:
        shutil.copyfile(whole.path, fresh)
        os.replace(fresh, path)
    except OSError as error:
        Path(fresh).unlink(missing_ok=True)
        raise ResourceError(f"{path} could not be written: {error}") from error
