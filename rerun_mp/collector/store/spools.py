"""A session's spool directory: one directory with a journal for each store.

For the end of a session, a new collector and a recovery. `stored_targets` and `spooled_rows` change nothing. None of
these functions needs the session's segment.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rerun_mp.collector.store.parts import Part, count_logged_rows
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.rrd_files import count_chunks
from rerun_mp.session.origin import ORIGIN_NAME

__all__ = ["remove_complete", "spooled_rows", "stored_recordings", "stored_targets"]

UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""What a damaged journal raises."""


def stored_recordings(spool: Path) -> list[tuple[RecordingKey, str]]:
    """Return the recording of each store, and the sink that the store is for, or "" if it has the whole recording."""
    found = []
    for raw in _journals(spool):
        with contextlib.suppress(*UNREADABLE):
            application_id, recording_id = raw["recording"]
            found.append((RecordingKey(str(application_id), str(recording_id)), str(raw["scoped_to"])))
    return found


def stored_targets(spool: Path) -> dict[RecordingKey, list[str]]:
    """Return the paths of the files that the stores are writing, by recording."""
    found: dict[RecordingKey, list[str]] = {}
    for raw in _journals(spool):
        with contextlib.suppress(*UNREADABLE):
            if not raw["is_complete"]:
                targets = [str(raw["target"]["target"])] if raw["target"] else []
                found.setdefault(RecordingKey(*raw["recording"]), []).extend(targets)
    return found


def spooled_rows(spool: Path, without: Collection[str] = ()) -> Counter[RecordingKey]:
    """Count the rows that lie in the spool and in no file of the user's, by recording. No collector may write there.

    `without`: ids of chunks that do not count.
    """
    rows: Counter[RecordingKey] = Counter()
    for raw in _journals(spool):
        with contextlib.suppress(*UNREADABLE):
            key = RecordingKey(*raw["recording"])
            # The rows of a scoped store lie in the store of the whole recording, too.
            entries = [] if raw["is_complete"] or raw["scoped_to"] else raw["parts"]
            parts = [Part(**{**entry, "inode": tuple(entry["inode"] or ()) or None}) for entry in entries]
            parts = [part for part in parts if part.is_readable()]
            for part in parts:
                part.chunks = count_chunks(part.path, part.prelude)
            spooled = [part for part in parts if part.is_spooled]
            # A collector that went on in the spool has repeated at most the last chunks of a file.
            repeated = sum(part.chunks for part in spooled)
            tails = [part.read(part.chunks - repeated) for part in parts if not part.is_spooled and repeated]
            rows[key] += count_logged_rows(spooled, {*without, *(chunk.id for tail in tails for _, chunk in tail)})
    return rows


def remove_complete(spool: Path) -> bool:
    """Remove the stores of recordings that are complete, and `spool` itself if nothing else is in it.

    Returns
    -------
    bool
        Whether `spool` is gone. What stays belongs to files that could not be completed; a recovery finds it.
    """
    for path in spool.glob("*"):
        journal = path / "journal.json"
        try:
            is_complete = not journal.exists() or json.loads(journal.read_bytes())["is_complete"]
        except UNREADABLE:
            is_complete = False
        if is_complete and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not path.is_dir() and path.name != ORIGIN_NAME:
            path.unlink(missing_ok=True)
    if {path.name for path in spool.glob("*")} == {ORIGIN_NAME}:
        (spool / ORIGIN_NAME).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        spool.rmdir()
    return not spool.exists()


def _journals(spool: Path) -> Iterator[Any]:
    """Yield the content of each journal that can be read."""
    for path in sorted(spool.glob("*/journal.json")):
        with contextlib.suppress(*UNREADABLE):
            yield json.loads(path.read_bytes())
