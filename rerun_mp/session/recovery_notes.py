"""Notes on files that a recovery completes in their place without being asked.

The user knows nothing of such a recovery. So a program that takes the path later must not replace the file, but set it
aside, as it does with a file that has not been recovered yet. A note names path and session; it is written before the
recovery, and gets the file's identity after it. Notes lie in the rescue directory. Any process and thread may call.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from rerun_mp.session import directories
from rerun_mp.session.file_claims import claim_of
from rerun_mp.shm.interruptions import suppress_own

__all__ = ["take", "write"]

NOTES_NAME = ".recovered"
MAX_NOTES = 200
"""Maximum number of notes. Beyond it, the oldest ones go."""


def write(path: str, name: str, *, is_done: bool) -> None:
    """Note that the session `name` is being recovered, or has been, into the file at `path`. Never raises OSError."""
    with suppress_own(OSError):
        os.makedirs(_base(), mode=0o700, exist_ok=True)
        text = json.dumps({"path": path, "name": name, "claim": claim_of(path) if is_done else None})
        note = _note_of(path)
        if is_done and not os.path.exists(note):
            return  # a program has taken the path meanwhile
        with open(note + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(note + ".new", note)
        _prune()


def take(path: str) -> str | None:
    """Remove the note on the file at `path`, and return the name of its session. None: the file was not recovered."""
    with suppress_own(OSError, ValueError, KeyError, TypeError):
        note = _note_of(path)
        with open(note, encoding="utf-8") as file:
            raw: dict[str, Any] = json.load(file)
        os.unlink(note)
        claim = raw["claim"]
        if raw["path"] == path and (claim is None or tuple(claim) == claim_of(path)):
            return str(raw["name"])
    return None


def _prune() -> None:
    notes = sorted((os.path.join(_base(), name) for name in os.listdir(_base())), key=os.path.getmtime)
    for note in notes[:-MAX_NOTES]:
        os.unlink(note)


def _base() -> str:
    return os.path.join(directories.rescue_base(), NOTES_NAME)


def _note_of(path: str) -> str:
    return os.path.join(_base(), hashlib.blake2b(os.fsencode(path), digest_size=12).hexdigest())
