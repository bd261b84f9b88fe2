"""Applies the rules of a sink to chunks: a live sink's before it sends them, a file's before the store takes them.

A chunk of which rows are held back gets another chunk id, made from its own and the rules; its rows keep their row ids.
So a server that gets a chunk twice keeps it once. Counts of rows begin anew when a live sink begins a server anew, and
in each life of a collector.

A `RuleBook` belongs to one thread: that of the live sink, or the worker's main thread.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from rerun_mp.collector.drain.chunks import ROW_ID_FIELD
from rerun_mp.collector.messages import say
from rerun_mp.encoding.log_messages import batch_of, chunk_message
from rerun_mp.session.rules import Rule, rules_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.rules import RuleValues

__all__ = ["Allowed", "RuleBook"]

RESERVED = "/__"
"""The beginning of entity paths under which a recording describes itself."""
MAX_ENTITIES = 100_000
"""Maximum number of entities with a count. Beyond it, all counts begin anew."""
MAX_MOMENTS = 4096
"""Maximum moments of an entity, each `1 / max_hz` long, of which a row has been sent and which are remembered."""
NANOS = 1_000_000_000


class Allowed(NamedTuple):
    """What a sink may send of a chunk."""

    payload: bytes | None
    """The chunk's message; None: nothing."""
    held_rows: int
    """Rows that the rules hold back."""


class _Memory:
    """What the rules remember of one entity."""

    def __init__(self) -> None:
        self.rows = 0
        self.moments: dict[int, None] = {}


class RuleBook:
    """The rules of one sink, and what they remember."""

    def __init__(self, values: Iterable[RuleValues], recording: RecordingKey) -> None:
        self._rules = rules_of(values)
        self._recording = recording
        self._digest = repr(self._rules).encode()
        self._memories: dict[str, _Memory] = {}
        self._rule_of: dict[str, Rule | None] = {}
        """Entity path -> its rule."""

    def allowed(self, payload: bytes) -> Allowed:
        """Return what of a chunk may be sent."""
        if not self._rules:
            return Allowed(payload, 0)
        batch = batch_of(payload)
        changed = self.kept_of(batch)
        if changed is batch:
            return Allowed(payload, 0)
        if changed is None:
            return Allowed(None, batch.num_rows)
        chunk_id = changed.schema.metadata[b"rerun:id"].decode()
        return Allowed(chunk_message(self._recording, chunk_id, changed), batch.num_rows - changed.num_rows)

    def kept_of(self, batch: Any) -> Any:
        """Return a chunk's record batch as the sink gets it: `batch` itself if nothing changes, None if it is left out.

        Another batch has another chunk id, see `renamed`.
        """
        path = "/" + batch.schema.metadata[b"rerun:entity_path"].decode().strip("/")
        rule = self._rule(path)
        if rule is None:
            return batch
        kept = self._kept(batch, path, rule)
        if not len(kept):
            return None
        changed = batch
        if len(kept) < batch.num_rows:
            changed = pa.RecordBatch.from_arrays(batch.take(pa.array(kept)).columns, schema=batch.schema)
        if rule.changes_images:
            changed = _with_smaller_images(changed, rule)
        if changed is batch:
            return batch
        chunk_id = self.renamed(batch.schema.metadata[b"rerun:id"].decode())
        return changed.replace_schema_metadata({**changed.schema.metadata, b"rerun:id": chunk_id.encode()})

    def renamed(self, chunk_id: str) -> str:
        """Return the id of a chunk of which the rules change something."""
        name = chunk_id.removeprefix("chunk_")
        return f"chunk_{name[:16]}{hashlib.blake2b(chunk_id.encode() + self._digest, digest_size=8).hexdigest()}"

    def _rule(self, path: str) -> Rule | None:
        """Return the rule for an entity path with a leading slash."""
        if path not in self._rule_of:
            if len(self._rule_of) > MAX_ENTITIES:
                self._rule_of.clear()
            found = next((rule for rule in self._rules if rule.matches(path)), None)
            self._rule_of[path] = None if path.startswith(RESERVED) else found
        return self._rule_of[path]

    def _kept(self, batch: Any, path: str, rule: Rule) -> NDArray[np.int64]:
        """Return the numbers of the rows that the sink gets."""
        if rule.off:
            return np.zeros(0, np.int64)
        kept = np.arange(batch.num_rows)
        if not any((field.metadata or {}).get(b"rerun:kind") == b"index" for field in batch.schema):
            return kept  # static
        column = batch.column(batch.schema.get_field_index(ROW_ID_FIELD.name))
        ids = np.frombuffer(b"".join(column.to_pylist()), ">u8").reshape(-1, 2).astype(np.uint64)
        if len(self._memories) > MAX_ENTITIES:
            self._memories.clear()
        memory = self._memories.setdefault(path, _Memory())
        if rule.every is not None:
            first = -memory.rows % rule.every
            memory.rows += len(kept)
            kept = kept[first :: rule.every]
        if rule.sample is not None:
            kept = kept[_unit_hash(ids[kept]) < rule.sample]
        if rule.max_hz is not None:
            moments = ids[kept, 0] // np.uint64(max(1, int(NANOS / rule.max_hz)))
            kept = kept[[self._is_new(memory, int(moment)) for moment in moments]]
        return kept

    @staticmethod
    def _is_new(memory: _Memory, moment: int) -> bool:
        if moment in memory.moments:
            return False
        memory.moments[moment] = None
        if len(memory.moments) > MAX_MOMENTS:
            del memory.moments[next(iter(memory.moments))]
        return True


def _unit_hash(ids: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each row id, equal for equal ids: the mixing step of splitmix64."""
    mixed = ids[:, 0] ^ (ids[:, 1] * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    numbers: NDArray[np.float64] = (mixed ^ (mixed >> np.uint64(31))).astype(np.float64)
    return numbers / 2.0**64


def _with_smaller_images(batch: Any, rule: Rule) -> Any:
    try:
        from rerun_mp.collector.smaller_images import smaller

        return smaller(batch, rule)
    except (ImportError, OSError, ValueError) as error:
        say(f"rule {rule.path!r}: images are sent as they are: {error}")
        return batch
