"""The account of each producer: rows delivered, rows dropped and why, and the time that calls were blocked.

`rows logged = rows delivered + rows dropped` once the ring is drained, after any fault. An account has three sources:

- the entry of a living producer in the producers table: rows delivered, dropped by the policy, and damaged;
- the file of ended producers, in the runtime directory. The collector appends a producer's final account before it
  frees the entry. If it dies in between, its successor appends the account again; readers keep the last one of each
  (index, generation);
- the file of rows that stores dropped after delivery. The row ids identify the producers (`Account.first_row`), so
  stores keep nothing else for it. It is replaced by rename.

The collector's worker writes (`append_account`, `write_store_drops`, `publish_totals`); any participant reads.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum

from rerun_mp.session import directories
from rerun_mp.session.sink_status import SinkStatus
from rerun_mp.shm.layout import (
    MAX_WORD,
    NAME_BYTES,
    NAME_OFFSET,
    PRODUCER_BYTES,
    Header,
    ProducerState,
    ProducerWord,
)
from rerun_mp.shm.segment import Segment

__all__ = [
    "Account",
    "Reason",
    "Statistics",
    "StoreDrops",
    "append_account",
    "live_account",
    "publish_totals",
    "published_totals",
    "read_accounts",
    "totals",
    "write_store_drops",
]


STORE_DROPS_NAME = "dropped.json"
ENDED_NAME = "accounts.jsonl"


class Reason(IntEnum):
    """Why a row was dropped. The number is the offset of its total from the word `Header.DROPPED`."""

    POLICY = 0
    DAMAGE = 1
    SPOOL = 2
    WRITE = 3

    @property
    def explanation(self) -> str:
        """The cause, and what to do."""
        return EXPLANATIONS[self]


EXPLANATIONS = {
    Reason.POLICY: "the ring was full and the policy is drop (enlarge RERUN_MP_RING_BYTES, or RERUN_MP_POLICY=block)",
    Reason.DAMAGE: "their bytes in shared memory were damaged (find what writes there)",
    Reason.SPOOL: "the spool was full (save to a file, or enlarge RERUN_MP_SPOOL_BYTES)",
    Reason.WRITE: "neither file nor spool could be written (make room on their disks)",
}

StoreDrops = Mapping[Reason, Mapping[int, int]]
"""Reason -> a producer's `Account.first_row` -> rows."""


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
    delivered: int
    """Rows that are stored: in a file, or in the spool for viewers and later files."""
    dropped_by_policy: int
    """Rows that the policy `drop` dropped because the ring was full."""
    dropped_by_damage: int
    """Rows whose bytes in shared memory were damaged."""
    dropped_by_spool_limit: int
    """Rows that the full spool dropped for later ones."""
    dropped_by_write_failure: int
    """Rows that could be written neither to the file nor to the spool."""
    refused: int
    """Rows that were not logged because there was no room for them. They do not count as logged."""
    blocked_ns: int
    """Nanoseconds that calls have waited for space."""
    is_live: bool

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
        """Rows delivered and dropped: those of all calls that returned, once the ring is drained."""
        return self.delivered + self.dropped


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
    def delivered(self) -> int:
        """Rows delivered, of all producers."""
        return sum(account.delivered for account in self.producers)

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
        """Rows delivered and dropped, of all producers."""
        return self.delivered + self.dropped


def live_account(segment: Segment, index: int) -> Account | None:
    """Return the account in entry `index`, without the drops of stores; None if the entry is free."""
    ring = segment.ring
    entry = ring.geometry.producer_word(index)
    state = ring.words[entry + ProducerWord.STATE]
    if state & 0xFF != ProducerState.LIVE:
        return None
    offset = ring.geometry.producers_offset + index * PRODUCER_BYTES + NAME_OFFSET
    name = bytes(ring.memory[offset : offset + NAME_BYTES]).rstrip(b"\0").decode("utf-8", "replace")
    return Account(
        index=index,
        generation=state >> 8,
        pid=ring.words[entry + ProducerWord.PID],
        name=name,
        started_ns=ring.words[entry + ProducerWord.STARTED_NS],
        first_row=ring.words[entry + ProducerWord.FIRST_ROW],
        delivered=ring.total(index),
        dropped_by_policy=ring.words[entry + ProducerWord.DROPPED],
        dropped_by_damage=ring.total(index, ProducerWord.DAMAGE),
        dropped_by_spool_limit=0,
        dropped_by_write_failure=0,
        refused=ring.words[entry + ProducerWord.REFUSED],
        blocked_ns=ring.words[entry + ProducerWord.BLOCKED_NS],
        is_live=True,
    )


def append_account(segment: Segment, account: Account) -> None:
    """Append the final account of a producer to the file of ended producers.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    directories.ensure_private(segment.runtime_directory)
    # Begins with a line break, too: a collector that died, or a full disk, may have left half a line.
    line = ("\n" + json.dumps({**asdict(account), "is_live": False}) + "\n").encode()
    with open(_ended_path(segment), "ab", buffering=0) as file:
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, f"no room for an account in {_ended_path(segment)}")


def read_accounts(segment: Segment, drops: StoreDrops | None = None) -> list[Account]:
    """Return the accounts of all producers that the session has had, in the order of their start.

    `drops` replaces the file of the stores' drops, for a caller that knows newer ones.
    """
    # Living producers first: one that ends meanwhile is in the file by then, and the file wins.
    living = (live_account(segment, index) for index in range(segment.ring.geometry.producers))
    found = {(account.index, account.generation): account for account in living if account is not None}
    for account in _ended(segment):
        found[account.index, account.generation] = account
    if drops is None:
        drops = read_store_drops(segment)
    ordered = sorted(found.values(), key=lambda account: account.started_ns)
    return [_with_drops(account, drops) for account in ordered]


def read_store_drops(segment: Segment) -> StoreDrops:
    """Return the drops that `write_store_drops` wrote."""
    try:
        with open(_drops_path(segment), encoding="utf-8") as file:
            raw = json.load(file)
    except FileNotFoundError:
        return {}
    return {
        Reason(int(reason)): {int(first): int(rows) for first, rows in owners.items()} for reason, owners in raw.items()
    }


def write_store_drops(segment: Segment, drops: StoreDrops) -> None:
    """Replace the file of rows that stores dropped after delivery.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    numbers = {int(reason): dict(owners) for reason, owners in drops.items()}
    directories.replace_file(segment.runtime_directory, STORE_DROPS_NAME, json.dumps(numbers))


def totals(accounts: Iterable[Account]) -> Counter[Reason]:
    """Return the number of dropped rows by reason."""
    found: Counter[Reason] = Counter()
    for account in accounts:
        found[Reason.POLICY] += account.dropped_by_policy
        found[Reason.DAMAGE] += account.dropped_by_damage
        found[Reason.SPOOL] += account.dropped_by_spool_limit
        found[Reason.WRITE] += account.dropped_by_write_failure
    return +found


def publish_totals(segment: Segment, dropped: Mapping[Reason, int]) -> None:
    """Store the totals in the header, where processes read them after the files are gone. Only the collector calls."""
    for reason in Reason:
        # A damaged entry may hold any number.
        segment.ring.words[Header.DROPPED + reason] = min(dropped.get(reason, 0), MAX_WORD)


def published_totals(segment: Segment) -> Counter[Reason]:
    """Return the totals that `publish_totals` stored."""
    return +Counter({reason: segment.ring.words[Header.DROPPED + reason] for reason in Reason})


def _with_drops(account: Account, drops: StoreDrops) -> Account:
    spool, write = (drops.get(reason, {}).get(account.first_row, 0) for reason in (Reason.SPOOL, Reason.WRITE))
    refused_by_rerun = drops.get(Reason.DAMAGE, {}).get(account.first_row, 0)
    if not spool and not write and not refused_by_rerun:
        return account
    return replace(
        account,
        delivered=account.delivered - spool - write - refused_by_rerun,
        dropped_by_damage=account.dropped_by_damage + refused_by_rerun,
        dropped_by_spool_limit=spool,
        dropped_by_write_failure=write,
    )


def _ended(segment: Segment) -> list[Account]:
    try:
        with open(_ended_path(segment), encoding="utf-8") as file:
            lines = list(file)
    except FileNotFoundError:
        # No producer has ended yet.
        return []
    found = []
    for line in lines:
        if line.strip():
            # A line that was cut off is in the file again, whole.
            with contextlib.suppress(ValueError):
                found.append(Account(**json.loads(line)))
    return found


def _ended_path(segment: Segment) -> str:
    return os.path.join(segment.runtime_directory, ENDED_NAME)


def _drops_path(segment: Segment) -> str:
    return os.path.join(segment.runtime_directory, STORE_DROPS_NAME)
