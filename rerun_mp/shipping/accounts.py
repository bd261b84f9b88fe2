"""The nodes of a head's directory: when each was last seen, the rows that it has stored, and those that are here."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from rerun_mp.shipping.parts import node_files, parts_below

__all__ = ["NodeAccount", "node_accounts"]

SILENT_SECS = 15.0
"""Seconds after which a running node that says nothing counts as silent."""


class NodeAccount(NamedTuple):
    """One session of a host, and one of its recordings."""

    recording: str
    """The recording's name in paths."""
    node: str
    host: str
    state: str
    """`running`, `silent` (it has not ended, and says nothing), `ended` or `unknown` (only its parts are here)."""
    seen_secs: float | None
    """Seconds since the node was last seen; None: never."""
    stored: int | None
    """Rows on the node's disk or shipped, as it said last; None: unknown."""
    acknowledged: int
    """Rows in parts that are here."""
    parts: int

    @property
    def missing(self) -> int:
        """Rows that the node has stored, and that are not here yet."""
        return max(0, (self.stored or 0) - self.acknowledged)


def node_accounts(directory: str | Path) -> list[NodeAccount]:
    """Return the nodes that have been seen in a head's directory, sorted by recording and node."""
    rows: Counter[tuple[str, str]] = Counter()
    parts: Counter[tuple[str, str]] = Counter()
    for part, _ in parts_below(directory):
        rows[part.recording, part.node] += part.rows
        parts[part.recording, part.node] += 1
    found = {}
    for path in node_files(directory):
        key = path.parent.name, path.stem
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            # The file's time, because the node's own clock may be wrong.
            seen_secs = max(0.0, time.time() - path.stat().st_mtime)
            state = "ended" if said["state"] == "ended" else "silent" if seen_secs > SILENT_SECS else "running"
            stored, host = int(said["stored"]), str(said["host"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found[key] = NodeAccount(*key, host, state, seen_secs, stored, rows[key], parts[key])
    for key, number in parts.items():
        host = key[1].rpartition("-")[0]
        found.setdefault(key, NodeAccount(*key, host, "unknown", None, None, rows[key], number))
    return [found[key] for key in sorted(found)]
