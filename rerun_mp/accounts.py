"""Who logged what: per producer, rows delivered, dropped and damaged, and the time it was blocked.

A living producer's account is its entry in the producers table. When the collector frees the entry it appends the final
account to a file in the runtime directory, and only then frees: a collector that dies in between writes it twice, and
readers keep the last of each (index, generation).

`rows logged = rows delivered + rows dropped`, once everything is drained.

The collector's worker writes (`close_account`); any participant reads (`read_accounts`).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from rerun_mp import directories
from rerun_mp.shm.layout import NAME_BYTES, NAME_OFFSET, PRODUCER_BYTES, ProducerState, ProducerWord
from rerun_mp.shm.segment import Segment

__all__ = ["Account", "close_account", "read_accounts"]


@dataclass(frozen=True, slots=True)
class Account:
    """What one producer has done."""

    index: int
    generation: int
    pid: int
    name: str
    started_ns: int
    """Nanoseconds since the epoch."""
    delivered: int
    """Rows that are in the store."""
    dropped: int
    """Rows that the policy dropped."""
    damaged: int
    """Rows whose bytes were not what they claimed to be."""
    blocked_ns: int
    """Time spent waiting for space."""
    is_live: bool


def live_account(segment: Segment, index: int) -> Account | None:
    """Return the account of entry `index`, or None if it is free."""
    words = segment.ring.words
    entry = segment.ring.geometry.producer_word(index)
    state = words[entry + ProducerWord.STATE]
    if state & 0xFF != ProducerState.LIVE:
        return None
    offset = segment.ring.geometry.producers_offset + index * PRODUCER_BYTES + NAME_OFFSET
    name = bytes(segment.ring.memory[offset : offset + NAME_BYTES]).rstrip(b"\0").decode("utf-8", "replace")
    return Account(
        index=index,
        generation=state >> 8,
        pid=words[entry + ProducerWord.PID],
        name=name,
        started_ns=words[entry + ProducerWord.STARTED_NS],
        delivered=segment.ring.total(index),
        dropped=words[entry + ProducerWord.DROPPED],
        damaged=words[entry + ProducerWord.DAMAGED],
        blocked_ns=words[entry + ProducerWord.BLOCKED_NS],
        is_live=True,
    )


def close_account(segment: Segment, index: int) -> None:
    """Append the final account of an entry to the session's file."""
    account = live_account(segment, index)
    if account is None:
        return
    directories.ensure_private(segment.runtime_directory)
    with open(_path(segment), "a", encoding="utf-8") as file:
        file.write(json.dumps({**asdict(account), "is_live": False}) + "\n")


def read_accounts(segment: Segment) -> list[Account]:
    """Return the accounts of all producers that the session has had, in the order of their start."""
    found: dict[tuple[int, int], Account] = {}
    try:
        with open(_path(segment), encoding="utf-8") as file:
            for line in file:
                account = Account(**json.loads(line))
                found[account.index, account.generation] = account
    except FileNotFoundError:
        # Nobody has ended yet.
        pass
    for index in range(segment.ring.geometry.producers):
        live = live_account(segment, index)
        if live is not None:
            found.setdefault((live.index, live.generation), live)
    return sorted(found.values(), key=lambda account: account.started_ns)


def _path(segment: Segment) -> str:
    return os.path.join(segment.runtime_directory, "accounts.jsonl")
