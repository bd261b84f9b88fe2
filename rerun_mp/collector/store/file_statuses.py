"""The state of a store's files, for the user. Used in the worker's main thread."""

from __future__ import annotations

import time
from typing import Any

from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.part_writer import PartWriter
from rerun_mp.collector.store.rotating import Rotating
from rerun_mp.session.sink_status import SinkStatus

__all__ = ["FileStatuses"]


class FileStatuses:
    """States of the files of one store, and when these states began."""

    def __init__(self, journal: Journal, writing: PartWriter, rotating: Rotating) -> None:
        self._rotating = rotating
        self._journal = journal
        self._writing = writing
        self._since_ns = time.time_ns()
        self._state = ""

    def current(self) -> list[SinkStatus]:
        """Return the state of the file, if there is one."""
        target = self._journal.target
        if target is None:
            return []
        purpose = self._writing.purpose
        state: Any = "writing" if purpose == "file" else "resting" if purpose is None else "diverted"
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()
        removed = self._rotating.removed_rows
        held = self._journal.drops.held_rows()
        recording, since_ns, failure = self._journal.recording, self._since_ns, self._writing.failure
        return [SinkStatus(*recording, "file", target.target, state, since_ns, 0, 0, 0, failure, None, removed, held)]
