"""The result of `statistics()`: the account of each producer, and the status of each sink.

Immutable values, which any process and thread may make and read. Needs nothing that a platform may lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple

__all__ = ["LOSSES", "SUMMED", "Account", "Reason", "SinkStatus", "Statistics"]

SUMMED = -1
"""Index of the account that sums up ended producers."""


class Reason(IntEnum):
    """Why a row is not stored. The number of a loss is the offset of its total from the word `Header.DROPPED`."""

    POLICY = 0
    DAMAGE = 1
    SPOOL = 2
    WRITE = 3
    RULES = 4
    """The rules of the recording's file hold it back. This is no loss."""

    @property
    def explanation(self) -> str:
        """The cause, and what to do."""
        return EXPLANATIONS[self]


LOSSES = (Reason.POLICY, Reason.DAMAGE, Reason.SPOOL, Reason.WRITE)
"""The reasons why rows are dropped."""
EXPLANATIONS = {
    Reason.POLICY: "the ring was full and the policy is drop (enlarge RERUN_MP_RING_BYTES, or RERUN_MP_POLICY=block)",
    Reason.DAMAGE: "their bytes in shared memory were damaged (find what writes there)",
    Reason.SPOOL: "the spool was full (save to a file, or enlarge RERUN_MP_SPOOL_BYTES)",
    Reason.WRITE: "neither file nor spool could be written (make room on their disks)",
    Reason.RULES: "the file's rules hold them back (nothing to do)",
}


class SinkStatus(NamedTuple):
    """The status of one sink of one recording; see `rerun_mp.statistics`."""

    application_id: str
    recording_id: str
    kind: Literal["file", "grpc", "serve"]
    """A file, a server or viewer that something else runs, or a server that the collector runs."""
    target: str
    """Path or URL."""
    state: Literal["writing", "diverted", "resting", "connected", "stalled", "retrying", "closed"]
    """A file is being written; its rows are diverted to the spool because it cannot be written; or it rests because no
    rows have come of late. A viewer is connected; it is stalled, taking no rows; or it cannot be reached and the
    collector keeps retrying. A closed sink gets no more rows."""
    since_ns: int
    """When that state began, nanoseconds since the epoch."""
    behind_rows: int
    """Stored rows that it has not acknowledged yet. Chunks older than some minutes count as one row at least."""
    behind_chunks: int
    """Chunks that it has not acknowledged yet."""
    missed_chunks: int
    """Chunks that it will never receive: the full spool dropped them before it was connected."""
    failure: str | None
    """The present failure; None if there is none."""
    acknowledged_rows: int | None = None
    """Rows that the server has answered for: it has them. Its own, if it was started anew. None for a file."""
    removed_rows: int = 0
    """Rows in the parts of a file that the collector has removed, because a `Rotation` bounds them."""
    held_rows: int = 0
    """Rows that the sink's rules hold back. They count as neither acknowledged nor behind nor dropped."""


@dataclass(frozen=True, slots=True)
class Account:
    """The rows of one producer, which is one process between two forks. Rows still in the ring do not count yet."""

    index: int
    generation: int
    pid: int
    name: str
    started_ns: int
    """Nanoseconds since the epoch."""
    first_row: int
    """Counter half of its first row id, which identifies it in row ids."""
    stored: int
    """Rows on this machine's disks: in a file, or in the spool for viewers and later files. What a viewer has of them,
    `SinkStatus.acknowledged_rows` says."""
    dropped_by_policy: int
    """Rows that the policy `drop` dropped because the ring was full."""
    dropped_by_damage: int
    """Rows that were damaged in shared memory."""
    dropped_by_spool_limit: int
    """Rows that the full spool dropped for later ones."""
    dropped_by_write_failure: int
    """Rows that could be written neither to the file nor to the spool."""
    refused: int
    """Rows that were not logged because there was no room for them. They do not count as logged."""
    blocked_ns: int
    """Nanoseconds that calls have waited for space."""
    is_live: bool
    held_back: int = 0
    """Rows that the rules of the recording's file hold back, if no other sink takes them."""

    @property
    def is_sum(self) -> bool:
        """Whether it sums up the earliest processes of a long session; `generation` is their number then."""
        return self.index == SUMMED

    @property
    def dropped(self) -> int:
        """Rows dropped for any reason."""
        return (
            self.dropped_by_policy
            + self.dropped_by_damage
            + self.dropped_by_spool_limit
            + self.dropped_by_write_failure
        )

    @property
    def logged(self) -> int:
        """Rows stored, held back and dropped: those of all calls that returned, once the ring is drained."""
        return self.stored + self.held_back + self.dropped

    @property
    def delivered(self) -> int:
        """Another name of `stored`, as in version 0.1."""
        return self.stored


@dataclass(frozen=True, slots=True)
class Statistics:
    """The rows of all processes of a session, and the status of its sinks; see `rerun_mp.statistics`."""

    producers: tuple[Account, ...] = ()
    """In the order of their start. Each process has one, and a new one after each fork."""
    sinks: tuple[SinkStatus, ...] = ()
    """At most a quarter of a second old."""
    refused_here: Mapping[str, int] = field(default_factory=dict)
    """Cause -> rows that the calling process could not log. They do not count as logged."""
    refused_without_account: int = 0
    """Those of `refused_here` that stand in no producer's account, because the process had none."""

    @property
    def stored(self) -> int:
        """Rows stored, of all producers."""
        return sum(account.stored for account in self.producers)

    @property
    def delivered(self) -> int:
        """Another name of `stored`, as in version 0.1."""
        return self.stored

    @property
    def held_back(self) -> int:
        """Rows that the rules of the recordings' files hold back, of all producers."""
        return sum(account.held_back for account in self.producers)

    @property
    def dropped(self) -> int:
        """Rows dropped, of all producers."""
        return sum(account.dropped for account in self.producers)

    @property
    def refused(self) -> int:
        """Rows that could not be logged: those of all producers, and those of this process without an account."""
        return sum(account.refused for account in self.producers) + self.refused_without_account

    @property
    def logged(self) -> int:
        """Rows stored, held back and dropped, of all producers."""
        return self.stored + self.held_back + self.dropped
