"""What kills workers: found out one range and one chunk at a time, left out from then on, and counted.

A row that crashes native code would crash every worker that comes after, for ever. So each worker notes at its start at
which sweep it begins. After `MAX_DEATHS` workers that ended without completing one, the next is *careful*: it takes
one slot a sweep, sends one chunk at a time, flushes each, and writes down beforehand what it is about to touch. What
it was touching when it died is a *suspect*; one that was so twice is *condemned*. The first time may have been
somebody's kill.

Ids of chunks do not depend on who is careful, so what an earlier worker had sent of a sweep is still sent once.

The record is a small JSON file in the runtime directory, replaced by rename. Used by the worker's main thread only.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

__all__ = ["Trial"]

MAX_DEATHS = 3
"""Workers that may end in one sweep before the next one is careful."""
MAX_SUSPICIONS = 2
MAX_CONDEMNED = 10_000
"""Remembered; the oldest is forgotten first, and would have to be found out again."""


class Trial:
    """The record of one session."""

    def __init__(self, directory: str, done: int, slots: int) -> None:
        """Take note that a worker begins.

        Parameters
        ----------
        directory
            The session's runtime directory.
        done
            Number of the last sweep that is done.
        slots
            How many slots the ring has: care ends after each of them has had its turn, and another.
        """
        self._path = os.path.join(directory, "trial.json")
        record = self._load()
        self._condemned: list[str] = record["condemned"]
        self._suspicions: dict[str, int] = record["suspicions"]
        self._suspect = ""
        self._starts: int = record["starts"] + 1 if record["sweep"] == done + 1 else 1
        self._sweep = done + 1
        self._until: int = record["until"]
        if record["suspect"]:
            self._blame(record["suspect"])
        if self._starts > MAX_DEATHS:
            self._until = max(self._until, done + 2 * slots)
        if not self.is_on(done):
            self._suspicions = {}
        self._save()

    def is_on(self, done: int) -> bool:
        """Say whether a worker must be careful after sweep number `done`."""
        return done < self._until

    def admits(self, what: str) -> bool:
        """Say whether `what` may be touched, and take note that it is about to be."""
        if what in self._condemned:
            return False
        self._suspect = what
        self._save()
        return True

    def acquit(self) -> None:
        """Take note that nothing is being touched."""
        if self._suspect:
            self._suspect = ""
            self._save()

    def _blame(self, suspect: str) -> None:
        self._suspicions[suspect] = self._suspicions.get(suspect, 0) + 1
        if self._suspicions[suspect] >= MAX_SUSPICIONS and suspect not in self._condemned:
            self._condemned = [*self._condemned, suspect][-MAX_CONDEMNED:]
            print(
                f"worker {os.getpid()}: {suspect} has ended {self._suspicions[suspect]} workers; it is left out and "
                "counted as damaged",
                file=sys.stderr,
                flush=True,
            )

    def _load(self) -> dict[str, Any]:
        record = {"sweep": -1, "starts": 0, "until": -1, "suspect": "", "suspicions": {}, "condemned": []}
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.load(file)
            if {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in record.items()}:
                return dict(found)
        except (OSError, ValueError, AttributeError):
            # The first worker; or a record that cannot be read, without which everything is found out again.
            pass
        return record

    def _save(self) -> None:
        record = {
            "sweep": self._sweep,
            "starts": self._starts,
            "until": self._until,
            "suspect": self._suspect,
            "suspicions": self._suspicions,
            "condemned": self._condemned,
        }
        # Without room for it we go on as if nothing had died: rows matter more.
        with contextlib.suppress(OSError):
            with open(self._path + ".new", "w", encoding="utf-8") as file:
                json.dump(record, file)
            os.replace(self._path + ".new", self._path)
