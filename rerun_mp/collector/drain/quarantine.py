"""Quarantine: a slot or chunk that kills workers is found, left out from then on, and counted as damaged.

A row that crashes native code would crash every worker that follows, for ever. So each worker notes at its start the
sweep that it begins with. After `MAX_DEATHS` workers that ended without completing a sweep, the next one is *careful*:
it takes one slot a sweep, stores one chunk at a time, flushes each, and notes beforehand what it is about to touch.
The slot or chunk that the worker was touching when it died is the *suspect*. A suspect of `MAX_SUSPICIONS` deaths is
quarantined; after the first death it is not, because another process may have killed the worker.

Chunk ids do not depend on care, so a reader still keeps one copy of what an earlier worker had stored of a sweep.

The record is a small JSON file in the runtime directory, replaced by rename. Used by the worker's main thread only.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from rerun_mp.collector.messages import say

__all__ = ["Quarantine"]

MAX_DEATHS = 3
"""Workers that may end in one sweep before the next one is careful."""
MAX_SUSPICIONS = 2
"""Deaths after which a suspect is quarantined."""
MAX_QUARANTINED = 10_000
"""Maximum entries; the oldest is forgotten first, and costs as many workers again."""


class Quarantine:
    """The record of one session."""

    def __init__(self, directory: str, done: int, slots: int) -> None:
        """Note that a worker begins.

        Parameters
        ----------
        directory
            The session's runtime directory.
        done
            Number of the last sweep that is done.
        slots
            Slots of the ring: workers are careful for twice as many sweeps, so that every slot has its turn.
        """
        self._path = os.path.join(directory, "quarantine.json")
        record = self._load()
        self._quarantined: list[str] = record["quarantined"]
        self._suspicions: dict[str, int] = record["suspicions"]
        self._suspect = ""
        self._starts: int = record["starts"] + 1 if record["sweep"] == done + 1 else 1
        self._sweep = done + 1
        self._careful_until: int = record["careful_until"]
        if record["suspect"]:
            self._blame(record["suspect"])
        if self._starts > MAX_DEATHS:
            self._careful_until = max(self._careful_until, done + 2 * slots)
        if not self.is_careful(done):
            self._suspicions = {}
        self._save()

    def is_careful(self, done: int) -> bool:
        """Return whether the worker must be careful after sweep number `done`."""
        return done < self._careful_until

    def allows(self, name: str) -> bool:
        """Return whether the worker may touch the named slot or chunk; if so, it is the suspect from now on."""
        if name in self._quarantined:
            return False
        self._suspect = name
        self._save()
        return True

    def clear_suspect(self) -> None:
        """Note that the worker touches nothing now."""
        if self._suspect:
            self._suspect = ""
            self._save()

    def _blame(self, suspect: str) -> None:
        self._suspicions[suspect] = self._suspicions.get(suspect, 0) + 1
        if self._suspicions[suspect] >= MAX_SUSPICIONS and suspect not in self._quarantined:
            self._quarantined = [*self._quarantined, suspect][-MAX_QUARANTINED:]
            say(
                f"worker {os.getpid()}: {suspect} has ended {self._suspicions[suspect]} workers; it is left out and "
                "counted as damaged"
            )

    def _load(self) -> dict[str, Any]:
        record = {"sweep": -1, "starts": 0, "careful_until": -1, "suspect": "", "suspicions": {}, "quarantined": []}
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.load(file)
            if {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in record.items()}:
                return dict(found)
        except (OSError, ValueError, AttributeError):
            # This is the first worker, or the record is damaged: then everything is found again.
            pass
        return record

    def _save(self) -> None:
        record = {
            "sweep": self._sweep,
            "starts": self._starts,
            "careful_until": self._careful_until,
            "suspect": self._suspect,
            "suspicions": self._suspicions,
            "quarantined": self._quarantined,
        }
        # If the disk is full, the worker goes on without a record: rows matter more.
        with contextlib.suppress(OSError):
            with open(self._path + ".new", "w", encoding="utf-8") as file:
                json.dump(record, file)
            os.replace(self._path + ".new", self._path)
