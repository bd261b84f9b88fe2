"""The account of each producer: rows stored, rows dropped and why, and the time that calls were blocked.

`rows logged = rows stored + rows held back + rows dropped` once the ring is drained, after any fault. An account has
three sources:

- the entry of a living producer in the producers table: rows stored, dropped by the policy, and damaged;
- the file of ended producers, in the runtime directory. The collector appends a producer's final account before it
  frees the entry. If it dies in between, its successor appends the account again; readers keep the last one of each
  (index, generation). When the file has more than `MAX_ENDED_BYTES`, the collector replaces it by one in which the
  oldest accounts are one sum, with the first rows of the last `MAX_FIRST_ROWS` of them;
- the file of rows that stores dropped later or held back by rules. The row ids identify the producers
  (`Account.first_row`), so stores keep nothing else for it. It is replaced by rename. Rows of a sweep are in it before
  the sweep is done, and before they are in a producer's total. So they stand apart, with the sweep's number, and a
  reader takes them only if the sweep is done.

The collector's worker writes (`EndedAccounts`, `write_store_drops`, `publish_totals`); any participant reads.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from rerun_mp.session import directories
from rerun_mp.session.statistics import LOSSES, SUMMED, Account, Reason, Statistics
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
    "LOSSES",
    "Account",
    "EndedAccounts",
    "Reason",
    "Statistics",
    "StoreDrops",
    "append_account",
    "has_store_drops",
    "live_account",
    "publish_totals",
    "published_totals",
    "read_accounts",
    "read_first_rows",
    "totals",
    "write_store_drops",
]


STORE_DROPS_NAME = "dropped.json"
ENDED_NAME = "accounts.jsonl"
MAX_ENDED_BYTES = 1 << 20
"""Size of the file of ended producers beyond which the oldest become one sum."""
KEPT_ENDED = 500
"""Number of ended producers that keep their accounts then."""
MAX_FIRST_ROWS = 20_000
"""Number of producers in the sum whose rows stores can still tell from others' when they drop them."""


SUMS = (
    "stored",
    "dropped_by_policy",
    "dropped_by_damage",
    "dropped_by_spool_limit",
    "dropped_by_write_failure",
    "refused",
    "blocked_ns",
    "held_back",
)
"""Fields of an account that can be added up."""

MAX_READS = 10
"""Attempts to read all accounts between two sweeps."""

StoreDrops = Mapping[Reason, Mapping[int, int]]
"""Reason -> a producer's `Account.first_row` -> rows."""


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
        stored=ring.total(index),
        dropped_by_policy=ring.words[entry + ProducerWord.DROPPED],
        dropped_by_damage=ring.total(index, ProducerWord.DAMAGE),
        dropped_by_spool_limit=0,
        dropped_by_write_failure=0,
        refused=ring.words[entry + ProducerWord.REFUSED],
        blocked_ns=ring.words[entry + ProducerWord.BLOCKED_NS],
        is_live=True,
    )


class EndedAccounts:
    """The file of ended producers, for the worker, which writes it and puts it back if somebody removes it."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._descriptor: int | None = None
        """A descriptor of the file as it was written last; None: no producer has ended yet."""
        self._hold()

    def append(self, account: Account) -> None:
        """Append the final account of a producer. Raises OSError if it cannot be written."""
        self.restore()
        append_account(self._segment, account)
        self._hold()

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed the file."""
        return self._descriptor is not None and not os.path.exists(_ended_path(self._segment))

    def restore(self) -> None:
        """Put the file back if somebody has removed it. Raises OSError if it cannot be written."""
        if self.is_gone:
            assert self._descriptor is not None
            text = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0).decode()
            directories.replace_file(self._segment.runtime_directory, ENDED_NAME, text)
            self._hold()

    def _hold(self) -> None:
        with contextlib.suppress(OSError):
            present = os.open(_ended_path(self._segment), os.O_RDONLY | os.O_CLOEXEC)
            self._close()
            self._descriptor = present

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def __del__(self) -> None:
        """Close the descriptor with the worker's other ones."""
        self._close()


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
        is_large = file.tell() > MAX_ENDED_BYTES
    if is_large:
        with contextlib.suppress(OSError):  # the disk is full: the file grows for now
            _sum_up_oldest(segment)


def _sum_up_oldest(segment: Segment) -> None:
    ended, first_rows = _ended(segment)
    accounts = sorted(ended.values(), key=lambda account: (not account.is_sum, account.started_ns))
    # Until an entry is free, readers find its account there, too, and the next collector may append it again.
    oldest = [account for account in accounts[:-KEPT_ENDED] if account.is_sum or not _has_entry(segment, account)]
    kept = [account for account in accounts if account not in oldest]
    if len(oldest) < 2:
        return
    first_rows += [account.first_row for account in oldest if not account.is_sum]
    number = sum(account.generation if account.is_sum else 1 for account in oldest)
    total = replace(
        oldest[0],
        index=SUMMED,
        generation=number,
        pid=0,
        name=f"{number:,} earlier processes",
        first_row=0,
        **{name: sum(getattr(account, name) for account in oldest) for name in SUMS},
    )
    lines = [json.dumps({**asdict(total), "first_rows": first_rows[-MAX_FIRST_ROWS:]})]
    lines += [json.dumps(asdict(account)) for account in kept]
    directories.replace_file(segment.runtime_directory, ENDED_NAME, "\n".join(lines) + "\n")


def read_accounts(segment: Segment, drops: StoreDrops | None = None) -> list[Account]:
    """Return the accounts of all producers that the session has had, in the order of their start.

    `drops` replaces the file of the stores' drops, for a caller that knows newer ones.
    """
    for _ in range(MAX_READS):
        done = segment.ring.words[Header.SWEEP_DONE]
        # Living producers first: one that ends meanwhile is in the file by then, and the file wins.
        entries = (live_account(segment, index) for index in range(segment.ring.geometry.producers))
        living = [account for account in entries if account is not None]
        ended, first_rows = _ended(segment)
        given_up = read_store_drops(segment) if drops is None else drops
        # The sum of the earliest accounts may have one that was a living producer's a moment ago.
        is_of_one_moment = all(_has_entry(segment, account) for account in living)
        if is_of_one_moment and segment.ring.words[Header.SWEEP_DONE] == done:
            break
    found = {(account.index, account.generation): account for account in living} | ended
    ordered = sorted(found.values(), key=lambda account: account.started_ns)
    return [_with_drops(account, given_up, first_rows) for account in ordered]


def read_first_rows(segment: Segment) -> list[int]:
    """Return the first row-id counter of each producer, also of those that are summed up."""
    return [account.first_row for account in read_accounts(segment, {}) if not account.is_sum] + _ended(segment)[1]


def _has_entry(segment: Segment, account: Account) -> bool:
    """Return whether the account's producer still has its entry in the table."""
    entry = segment.ring.geometry.producer_word(account.index)
    return segment.ring.words[entry + ProducerWord.STATE] == ProducerState.LIVE | account.generation << 8


def has_store_drops(segment: Segment) -> bool:
    """Return whether the file that `write_store_drops` writes is there."""
    return os.path.exists(_drops_path(segment))


def read_store_drops(segment: Segment) -> StoreDrops:
    """Return the drops that `write_store_drops` wrote, as far as their sweeps are done."""
    try:
        with open(_drops_path(segment), encoding="utf-8") as file:
            raw = json.load(file)
    except FileNotFoundError:
        return {}
    is_done = segment.ring.words[Header.SWEEP_DONE] >= raw["sweep"]
    found: dict[Reason, Counter[int]] = {}
    for drops in (raw["settled"], raw["of_sweep"] if is_done else {}):
        for reason, owners in drops.items():
            found.setdefault(Reason(int(reason)), Counter()).update({int(one): int(n) for one, n in owners.items()})
    return found


def write_store_drops(segment: Segment, drops: StoreDrops, of_sweep: StoreDrops, sweep: int) -> None:
    """Replace the file of rows that stores dropped later.

    Parameters
    ----------
    segment
        The session's segment.
    drops
        Rows whose sweeps are done.
    of_sweep, sweep
        Rows of the sweep in flight, and its number.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    settled, own = ({int(reason): dict(owners) for reason, owners in one.items()} for one in (drops, of_sweep))
    text = json.dumps({"settled": settled, "of_sweep": own, "sweep": sweep})
    directories.replace_file(segment.runtime_directory, STORE_DROPS_NAME, text)


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
    for reason in LOSSES:
        # A damaged entry may hold any number.
        segment.ring.words[Header.DROPPED + reason] = min(dropped.get(reason, 0), MAX_WORD)


def published_totals(segment: Segment) -> Counter[Reason]:
    """Return the totals that `publish_totals` stored."""
    return +Counter({reason: segment.ring.words[Header.DROPPED + reason] for reason in LOSSES})


def _with_drops(account: Account, drops: StoreDrops, summed: Sequence[int]) -> Account:
    first_rows = summed if account.is_sum else (account.first_row,)
    spool, write, refused_by_rerun, held_back = (
        sum(drops.get(reason, {}).get(first, 0) for first in first_rows)
        for reason in (Reason.SPOOL, Reason.WRITE, Reason.DAMAGE, Reason.RULES)
    )
    if not spool and not write and not refused_by_rerun and not held_back:
        return account
    return replace(
        account,
        stored=account.stored - spool - write - refused_by_rerun - held_back,
        dropped_by_damage=account.dropped_by_damage + refused_by_rerun,
        dropped_by_spool_limit=spool,
        dropped_by_write_failure=write,
        held_back=held_back,
    )


def _ended(segment: Segment) -> tuple[dict[tuple[int, int], Account], list[int]]:
    """Return the accounts of ended producers, one of which may be a sum, and the first rows of those in the sum."""
    found: dict[tuple[int, int], Account] = {}
    first_rows: list[int] = []
    try:
        with open(_ended_path(segment), encoding="utf-8") as file:
            lines = list(file)
    except FileNotFoundError:
        # No producer has ended yet.
        return found, first_rows
    for line in lines:
        if line.strip():
            # A line that was cut off is in the file again, whole. Another version may write other fields.
            with contextlib.suppress(ValueError, TypeError):
                raw = json.loads(line)
                first_rows += raw.pop("first_rows", ())
                raw["stored"] = raw.pop("delivered", raw.get("stored"))  # its name in version 0.1
                account = Account(**raw)
                found[account.index, account.generation] = account
    return found, first_rows


def _ended_path(segment: Segment) -> str:
    return os.path.join(segment.runtime_directory, ENDED_NAME)


def _drops_path(segment: Segment) -> str:
    return os.path.join(segment.runtime_directory, STORE_DROPS_NAME)
