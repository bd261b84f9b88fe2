"""Says what was dropped, and who was killed: in the recordings, as text; of what was dropped also elsewhere.

Whenever more rows of some producer have been dropped, a row of text says how many so far, and why, on the entity
`/__rerun_mp/dropped`, which is reserved for this. It is in every recording of the session, because what a full ring
drops belongs to none yet. Quiet when nothing was dropped. Header and a file of the session say it, too.

Of a producer that a signal killed, a row of text on `/__rerun_mp/crashes` says so, in the recordings on which it had
logged. Used in the worker's main thread.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from rerun_mp.collector.drain.frame_chunks import ChunkBatch
from rerun_mp.collector.drain.own_chunks import text_chunk
from rerun_mp.collector.messages import say
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.session.accounts import Account, Reason, publish_totals, read_accounts, totals, write_store_drops
from rerun_mp.shm.layout import PAGE, PRODUCER_WORDS, ProducerWord

if TYPE_CHECKING:
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.collector.reporting.producers_watch import ProducersWatch
    from rerun_mp.shm.segment import Segment

__all__ = ["CRASHES_ENTITY", "DROPPED_ENTITY", "Reports", "crash_chunk"]

DROPPED_ENTITY = "/__rerun_mp/dropped"
CRASHES_ENTITY = "/__rerun_mp/crashes"
LOOK_SECS = 1.0
MAX_RECORDINGS = 16
"""In so many it is said who was killed, if it is not known on which that process has logged."""
COUNTERS = [ProducerWord.DROPPED, ProducerWord.DAMAGE_A, ProducerWord.DAMAGE_B]
REST = 20.0
"""Times as long as a look took pass at least until the next one: with many thousands of producers it takes long."""


class Reports:
    """Looks for what has been dropped since it last looked."""

    def __init__(self, segment: Segment, outputs: Outputs, watch: ProducersWatch) -> None:
        self._segment = segment
        self._outputs = outputs
        self._watch = watch
        count = segment.ring.geometry.producers * PRODUCER_WORDS
        entries = np.frombuffer(segment.ring.memory, np.uint64, count, PAGE).reshape(-1, PRODUCER_WORDS)
        self._entries: Any = entries
        self._next_look = 0.0
        self._seen: object = None
        self._written_version = 0
        self._said: dict[int, int] = {}
        """First row -> rows of that producer that have been reported as dropped."""

    def look(self, *, is_final: bool = False) -> None:
        """Report what is new; of what was dropped once a second at most unless it `is_final`."""
        if self._watch.killed:
            self._say_who_was_killed()
        begin = time.monotonic()
        if begin < self._next_look and not is_final:
            return
        drops = self._outputs.drops()
        now = (self._entries[:, COUNTERS].tobytes(), drops)
        has_any = any(now[0]) or any(drops.values()) or self._watch.has_ended_with_drops
        if has_any and (now != self._seen or is_final):
            self._say_in_recordings(self.publish())
            self._seen = now
        end = time.monotonic()
        self._next_look = end + max(LOOK_SECS, REST * (end - begin))

    def note(self) -> None:
        """Write down what stores have given up, if there is more of it, before the sweep that brought it is done."""
        version = self._outputs.drops_version()
        if version != self._written_version and self._write(self._outputs.drops()):
            self._written_version = version

    def publish(self) -> list[Account]:
        """Store what was dropped in header and file, and return the accounts. The recordings may be complete."""
        self.note()
        drops = self._outputs.drops()
        accounts = [*read_accounts(self._segment, drops), *self._watch.unwritten]
        publish_totals(self._segment, totals(accounts))
        return accounts

    def _write(self, drops: dict[Reason, Counter[int]]) -> bool:
        try:
            write_store_drops(self._segment, drops)
        except OSError as error:
            say(f"rerun_mp: what was dropped cannot be written down for now: {error}")
            return False
        return True

    def _say_who_was_killed(self) -> None:
        killed, self._watch.killed = self._watch.killed, []
        # Whom an earlier worker has drained may have logged on any recording.
        self._outputs.add(
            [
                crash_chunk(recording, account, cause, self._segment.nonce)
                for account, cause, recordings in killed
                for recording in recordings or self._outputs.recordings()[:MAX_RECORDINGS]
            ]
        )

    def _say_in_recordings(self, accounts: Iterable[Account]) -> None:
        news = [account for account in accounts if account.dropped > self._said.get(account.first_row, 0)]
        if news:
            texts = [_sentence(account) for account in news]
            self._outputs.add([text_chunk(key, DROPPED_ENTITY, "WARN", texts) for key in self._outputs.recordings()])
            self._said.update((account.first_row, account.dropped) for account in news)


def _sentence(account: Account) -> str:
    reasons = totals([account])
    why = "; ".join(f"{rows} because {reason.explanation}" for reason, rows in sorted(reasons.items()))
    return f"{account.name} (pid {account.pid}): {account.dropped} of {account.logged} rows dropped so far: {why}"


def crash_chunk(recording: RecordingKey, account: Account, cause: str, nonce: bytes) -> ChunkBatch:
    """Return a row of text that says of what a producer died. A collector that says it again says the same chunk."""
    name = f"{account.index} {account.generation} {account.started_ns}".encode()
    made_of = hashlib.blake2b(b"\0".join((nonce, *(part.encode() for part in recording), name)), digest_size=8)
    text = f"{account.name} (pid {account.pid}) was killed by {cause} after row {account.logged:,}"
    return text_chunk(recording, CRASHES_ENTITY, "CRITICAL", [text], made_of.digest(), account.started_ns)
