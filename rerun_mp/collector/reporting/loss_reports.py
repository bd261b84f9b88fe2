"""Reports dropped rows and killed producers, as rows of text in the recordings.

When more rows of a producer have been dropped than were reported, a row on the reserved entity `/__rerun_mp/dropped`
says how many so far, of how many, and why. The last one has the numbers of the session's end. Every recording of the
session gets it, because a row that a full ring drops belongs to no recording yet. The segment's header and a file of
the session hold the numbers too.

For a producer that a signal killed, a row on `/__rerun_mp/crashes` says so, in the recordings on which it had logged.
In a job of several hosts both paths name the host, see `own_entity`. Used by the worker's main thread only.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.drain.own_chunks import text_chunk
from rerun_mp.collector.messages import say
from rerun_mp.collector.reporting.own_entities import MAX_RECORDINGS, own_entity
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.session.accounts import Account, has_store_drops, publish_totals, read_accounts, totals, write_store_drops
from rerun_mp.shm.layout import PAGE, PRODUCER_WORDS, ProducerWord

if TYPE_CHECKING:
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.collector.reporting.dead_producers import DeadProducers, Killed
    from rerun_mp.session.config import NodeSpec
    from rerun_mp.shm.segment import Segment

__all__ = ["CRASHES_ENTITY", "DROPPED_ENTITY", "LossReports"]

DROPPED_ENTITY = "dropped"
CRASHES_ENTITY = "crashes"
MIN_REPORT_SECS = 1.0
"""Minimum seconds between two reports of dropped rows."""
REST_FACTOR = 20.0
"""Minimum time between two reports, as a multiple of the time that one took: it is long with thousands of producers."""
COUNTERS = [ProducerWord.DROPPED, ProducerWord.DAMAGE, ProducerWord.DAMAGE + 2]


class LossReports:
    """Reports the rows lost since its last report."""

    def __init__(self, segment: Segment, outputs: Outputs, dead_producers: DeadProducers) -> None:
        self._segment = segment
        self._outputs = outputs
        self._dead_producers = dead_producers
        count = segment.ring.geometry.producers * PRODUCER_WORDS
        entries = np.frombuffer(segment.ring.memory, np.uint64, count, PAGE).reshape(-1, PRODUCER_WORDS)
        self._entries: Any = entries
        self.node: NodeSpec | None = None
        """The node that the session is, from the configuration."""
        self._next_report = 0.0
        self._reported: object = None
        """All counters of dropped rows as they were at the last report."""
        self._written_version = 0
        self._reported_rows: dict[int, tuple[int, int]] = {}
        """first row of a producer -> its dropped and its logged rows, as last reported."""

    def report(self, *, is_final: bool = False) -> None:
        """Report killed producers now, and dropped rows at most once a second unless it `is_final`."""
        if self._dead_producers.killed:
            self._report_killed()
        begin = time.monotonic()
        if begin < self._next_report and not is_final:
            return
        drops = self._outputs.drops()
        counters = self._entries[:, COUNTERS]
        now = (counters.tobytes(), drops)
        has_any = counters.any() or any(drops.values()) or self._dead_producers.has_dropped
        if has_any and (now != self._reported or is_final):
            self._report_dropped(self.publish(), is_final=is_final)
            self._reported = now
        end = time.monotonic()
        self._next_report = end + max(MIN_REPORT_SECS, REST_FACTOR * (end - begin))

    def save_store_drops(self, sweep: int = 0) -> None:
        """Write down the rows that stores have given up, if there are more, before the sweep that caused it is done.

        `sweep`: number of the sweep in flight; 0: there is none.
        """
        version = self._outputs.drops_version()
        if version != self._written_version and self._write(sweep):
            self._written_version = version

    @property
    def are_store_drops_gone(self) -> bool:
        """Whether somebody has removed the file of dropped rows."""
        return bool(self._written_version) and not has_store_drops(self._segment)

    def restore_store_drops(self) -> None:
        """Write the file of dropped rows again if somebody has removed it."""
        if self.are_store_drops_gone:
            self._written_version = 0
            self.save_store_drops()

    def publish(self) -> list[Account]:
        """Store the totals of dropped rows in header and file, and return all accounts.

        It may be called after the recordings are complete.
        """
        self.save_store_drops()
        drops = self._outputs.drops()
        accounts = [*read_accounts(self._segment, drops), *self._dead_producers.unwritten]
        publish_totals(self._segment, totals(accounts))
        return accounts

    def _write(self, sweep: int) -> bool:
        drops, of_sweep = self._outputs.drops(), self._outputs.drops_of_sweep(sweep)
        settled = {reason: rows - of_sweep[reason] for reason, rows in drops.items()}
        try:
            write_store_drops(self._segment, settled, of_sweep, sweep)
        except OSError as error:
            say(f"rerun_mp: the number of dropped rows cannot be written for now: {error}")
            return False
        return True

    def _report_killed(self) -> None:
        killed, self._dead_producers.killed = self._dead_producers.killed, []
        # If an earlier worker took a producer's rows, they may be of any recording.
        self._outputs.add(
            [
                _crash_chunk(recording, one, self._segment.nonce, self.node)
                for one in killed
                for recording in one.recordings or self._outputs.recordings()[:MAX_RECORDINGS]
            ]
        )

    def _report_dropped(self, accounts: Iterable[Account], *, is_final: bool) -> None:
        """Report producers that have dropped more rows, and at the end also those that have logged more."""
        news = []
        for account in accounts:
            dropped, logged = self._reported_rows.get(account.first_row, (0, 0))
            is_new = account.dropped > dropped or (is_final and account.dropped and account.logged > logged)
            if is_new and not account.is_sum:
                news.append(account)
        if news:
            texts = [_sentence(account) for account in news]
            entity = own_entity(self.node and self.node.host, DROPPED_ENTITY)
            self._outputs.add([text_chunk(key, entity, "WARN", texts) for key in self._outputs.recordings()])
            self._reported_rows.update((one.first_row, (one.dropped, one.logged)) for one in news)


def _sentence(account: Account) -> str:
    reasons = totals([account])
    why = "; ".join(f"{rows} because {reason.explanation}" for reason, rows in sorted(reasons.items()))
    return f"{account.name} (pid {account.pid}): {account.dropped} of {account.logged} rows dropped so far: {why}"


def _crash_chunk(recording: RecordingKey, killed: Killed, nonce: bytes, node: NodeSpec | None) -> ChunkBatch:
    """Return a row that names the signal. A collector that reports the same death again makes the same chunk."""
    account = killed.account
    name = f"{account.index} {account.generation} {account.started_ns}".encode()
    digest = hashlib.blake2b(b"\0".join((nonce, *(part.encode() for part in recording), name)), digest_size=8)
    where = "" if node is None else f" on {node.host}"
    text = f"{account.name} (pid {account.pid}{where}) was killed by {killed.signal} after row {account.logged:,}"
    return text_chunk(
        recording,
        own_entity(node and node.host, CRASHES_ENTITY),
        "CRITICAL",
        [text],
        digest.digest(),
        account.started_ns,
    )
