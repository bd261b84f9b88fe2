"""Notes on files of killed programs that a collector has completed in their place.

A user who starts a killed program again cannot know whether the collector has completed its file by then. So a program
that takes the path later sets such a file aside, as it does with an incomplete one, and does not replace it. A note
names path and session; it is written before the file is completed, and gets the file's identity after that. Notes lie
in the rescue directory.

A process that has founded the session or set a sink notes its exit when it leaves normally, by a file in the session's
runtime directory. If this file is missing, the program was killed. Any process and thread may call.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from rerun_mp.session import directories
from rerun_mp.session.file_claims import claim_of
from rerun_mp.shm.interruptions import suppress_own

__all__ = ["note_exit", "take", "was_killed", "write"]

EXIT_NAME = "left"

NOTES_NAME = ".recovered"
MAX_NOTES = 200
"""Maximum number of notes. Beyond it, the oldest ones go."""


def write(path: str, name: str, *, is_done: bool) -> None:
    """Note that the session `name` is being recovered, or has been, into the file at `path`. Never raises OSError."""
    with suppress_own(OSError):
        if not is_done and not os.path.isfile(path):
            return
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


def note_exit(runtime_directory: str) -> None:
    """Note that the program of a session has ended normally."""
    with suppress_own(OSError):
        os.close(os.open(os.path.join(runtime_directory, EXIT_NAME), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def was_killed(runtime_directory: str) -> bool:
    """Say whether the program of a session, which has no participant any more, was killed."""
    return not os.path.exists(os.path.join(runtime_directory, EXIT_NAME))


def _prune() -> None:
    notes = sorted((os.path.join(_base(), name) for name in os.listdir(_base())), key=os.path.getmtime)
    for note in notes[:-MAX_NOTES]:
        os.unlink(note)


def _base() -> str:
    return os.path.join(directories.rescue_base(), NOTES_NAME)


def _note_of(path: str) -> str:
    return os.path.join(_base(), hashlib.blake2b(os.fsencode(path), digest_size=12).hexdigest())
