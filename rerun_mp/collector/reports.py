"""Says what was dropped: in the recordings, as text; in the segment's header, for the program's end; in a file.

Whenever more rows of some producer have been dropped, a row of text says how many so far, and why, on the entity
`/__rerun_mp/dropped`, which is reserved for this. It is in every recording of the session, because what a full ring
drops belongs to none yet. Quiet when nothing was dropped. Used in the worker's main thread.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rerun_mp.accounts import Account, Reason, publish_totals, read_accounts, totals, write_store_drops
from rerun_mp.collector.chunks import ROW_ID_FIELD, SORBET_VERSION, ChunkBatch
from rerun_mp.collector.log import say
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.shm.layout import PAGE, PRODUCER_WORDS, ProducerWord

if TYPE_CHECKING:
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.collector.producers import ProducersWatch
    from rerun_mp.shm.segment import Segment

__all__ = ["DROPPED_ENTITY", "DropReports"]

DROPPED_ENTITY = "/__rerun_mp/dropped"
LOOK_SECS = 1.0
COUNTERS = [ProducerWord.DROPPED, ProducerWord.DAMAGE_A, ProducerWord.DAMAGE_B]
REST = 20.0
"""Times as long as a look took pass at least until the next one: with many thousands of producers it takes long."""


class DropReports:
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
        """Report what is new, once a second at most unless it `is_final`."""
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

    def _say_in_recordings(self, accounts: Iterable[Account]) -> None:
        news = [account for account in accounts if account.dropped > self._said.get(account.first_row, 0)]
        if news:
            texts = [_sentence(account) for account in news]
            self._outputs.add([_chunk(key, texts) for key in self._outputs.recordings()])
            self._said.update((account.first_row, account.dropped) for account in news)


def _sentence(account: Account) -> str:
    reasons = totals([account])
    why = "; ".join(f"{rows} because {reason.explanation}" for reason, rows in sorted(reasons.items()))
    return f"{account.name} (pid {account.pid}): {account.dropped} of {account.logged} rows dropped so far: {why}"


def _chunk(recording: RecordingKey, texts: Iterable[str]) -> ChunkBatch:
    """Return rows of text with ids of their own."""
    lines = list(texts)
    now = time.time_ns()
    counter = int.from_bytes(os.urandom(8), "little") >> 2
    ids = [now.to_bytes(8, "big") + (counter + number).to_bytes(8, "big") for number in range(len(lines))]
    chunk_id = f"chunk_{now:016X}{os.urandom(8).hex()}"
    metadata = {"sorbet:version": SORBET_VERSION, "rerun:entity_path": DROPPED_ENTITY, "rerun:id": chunk_id}
    time_field = pa.field(
        "log_time", pa.timestamp("ns"), metadata={"rerun:kind": "index", "rerun:index_name": "log_time"}
    )
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array(ids, pa.binary(16)),
            pa.array([now] * len(lines), pa.timestamp("ns")),
            pa.array([["WARN"]] * len(lines), pa.list_(pa.string())),
            pa.array([[line] for line in lines], pa.list_(pa.string())),
        ],
        schema=pa.schema(
            [ROW_ID_FIELD, time_field, _field("level", "TextLogLevel"), _field("text", "Text")], metadata=metadata
        ),
    )
    return ChunkBatch(recording, DROPPED_ENTITY, chunk_id, batch, batch.nbytes)


def _field(name: str, component_type: str) -> Any:
    metadata = {
        "rerun:kind": "data",
        "rerun:component": f"TextLog:{name}",
        "rerun:archetype": "rerun.archetypes.TextLog",
        "rerun:component_type": f"rerun.components.{component_type}",
    }
    return pa.field(f"TextLog:{name}", pa.list_(pa.string()), metadata=metadata)
