"""The outputs of a session: for each recording one store, and any number of live sinks that read from it.

A sink that takes only what one process and its descendants log (`config.Scope`) has a store of its own, too. That store
holds copies. Its failures are reported, but only the recording's own store decides whether a row counts as stored.

Only a row that its store has flushed is delivered. Live sinks have threads of their own; if one stalls or dies, nothing
here waits for it.
Used by the worker's main thread only.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from rerun_mp.collector.drain.chunks import BuiltChunks, ChunkBatch
from rerun_mp.collector.drain.frame_chunks import TakenFrames, build_chunks
from rerun_mp.collector.drain.own_chunks import start_time_chunk
from rerun_mp.collector.drain.table_chunks import build_table_chunks
from rerun_mp.collector.drain.table_rows import TakenRows
from rerun_mp.collector.live import wake_all
from rerun_mp.collector.messages import say
from rerun_mp.collector.recording_output import FLUSH_TIMEOUT, OutputKey, RecordingOutput
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.spool_hold import SpoolHold
from rerun_mp.collector.store.spools import stored_recordings
from rerun_mp.collector.unsent import drop_oldest
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.session import directories
from rerun_mp.session.accounts import LOSSES, Reason, read_first_rows
from rerun_mp.session.config import NODE_OWNER, RecordingSpec, SessionConfig, SinkSpec, WholeFile
from rerun_mp.session.sink_status import SinkStatus
from rerun_mp.shm.layout import Header
from rerun_mp.shm.segment import Segment

__all__ = ["Outputs"]

MAX_OPEN = 64
"""Maximum recordings that are written at one time: each takes three threads and a descriptor."""
MAX_UNKNOWN = 16
"""Maximum recordings that rows name and the configuration does not. Most such rows are damage."""
RETRY_SECS = 0.5
"""Seconds between two attempts to complete a file that found no room."""


_recording_of: Callable[[ChunkBatch], RecordingKey] = attrgetter("recording")


def _start_times(spec: RecordingSpec, sinks: Sequence[SinkSpec]) -> list[ChunkBatch]:
    """Return the chunks with a recording's start time, which are the same in each life of a collector.

    A recording that goes on keeps its start: the newest value counts. The sink that says so may be set after the
    collector has stored the first.
    """
    if spec.start_time_ns is None:
        return []
    began = [start_time_chunk(spec.key, one.began_ns, spec.start_time_ns + 1) for one in sinks if one.began_ns]
    return [start_time_chunk(spec.key, spec.start_time_ns), *began[:1]]


def _sum(drops: Sequence[dict[Reason, Counter[int]]]) -> dict[Reason, Counter[int]]:
    found: dict[Reason, Counter[int]] = {reason: Counter() for reason in Reason}
    for one in drops:
        for reason, rows in one.items():
            found[reason].update(rows)
    return found


def _rescue_path(directory: str | None, key: OutputKey, nonce: bytes) -> str | None:
    if directory is None or key.scoped_to:
        return None
    return directories.rescue_path(directory, *key.recording, nonce)


class Outputs:
    """The outputs of all recordings of a session."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._nonce = segment.nonce
        self._spool = Path(segment.spool_directory)
        self._spool_bytes = segment.ring.words[Header.SPOOL_BYTES]
        self.spool_hold = SpoolHold(segment)
        self._outputs: dict[OutputKey, RecordingOutput] = {}
        self._scoped: dict[RecordingKey, list[OutputKey]] = {}
        self._config = SessionConfig()
        self._files: dict[str, OutputKey] = {}
        """The files that the configuration names, and the output of each."""
        self._begun: dict[OutputKey, int] = {}
        """Output -> start times of its recording that are stored in this life; 1 if it needs none."""
        self._unflushed: list[RecordingStore] = []
        self._rotating: list[RecordingStore] = []
        """Stores whose files rotate."""
        self._open: dict[OutputKey, RecordingStore] = {}
        """Stores that are being written, the longest unused first."""
        self._unknown: set[RecordingKey] = set()
        """Recordings that the configuration does not name."""
        # Stores of an earlier collector are completed even if the configuration is lost.
        for recording, scoped_to in stored_recordings(self._spool):
            self._output(OutputKey(recording, scoped_to))

    def apply(self, config: SessionConfig) -> bool:
        """Bring every recording to the sinks that the configuration names.

        Returns False if a former file cannot be completed now, because its disk is full. Its recording keeps this file
        until a later call; everything else is as the configuration says.
        """
        is_applied = True
        self._config = config
        self._files = {
            sink.target: OutputKey(spec.key, "" if config.is_main(spec, sink) else f"file {sink.target}")
            for spec in config.recordings
            for sink in spec.sinks
            if sink.kind == "file"
        }
        self._rotating = []
        for spec in config.recordings:
            self._unknown.discard(spec.key)
            by_target: dict[str, list[SinkSpec]] = {key.scoped_to: [] for key in self._scoped.get(spec.key, ())}
            for sink in spec.sinks:
                if not config.is_main(spec, sink):
                    by_target.setdefault(f"{sink.kind} {sink.target}", []).append(sink)
            # Scoped outputs first: a file that now belongs to the whole recording must be let go of before it is begun.
            for scoped_to, sinks in by_target.items():
                is_applied &= self._apply(OutputKey(spec.key, scoped_to), spec, sinks)
            mains = [sink for sink in spec.sinks if config.is_main(spec, sink)]
            is_applied &= self._apply(OutputKey(spec.key), spec, mains)
            is_elsewhere = not mains and any(spec.is_whole(sink) for sink in spec.sinks)
            self._output(OutputKey(spec.key)).store.note_elsewhere(is_elsewhere=is_elsewhere)
        return is_applied

    def _apply(self, key: OutputKey, spec: RecordingSpec, sinks: Sequence[SinkSpec]) -> bool:
        output = self._output(key)
        if key.scoped_to:
            output.owners = frozenset(NODE_OWNER if spec.is_whole(sink) else sink.owner for sink in sinks)
            # Several processes may have set the sink; it is opened once.
            checkpoints = sum(sink.checkpoints for sink in sinks)
            sinks = [replace(sink, owner=0, checkpoints=checkpoints) for sink in sinks[:1]]
        taken = {path for path in output.store.paths if self._is_taken(path, key)}
        is_new = not output.has_sinks
        is_applied = output.apply(replace(spec, sinks=tuple(sinks)), taken)
        if is_new and NODE_OWNER in output.owners:
            output.take_earlier_rows(self._output(OutputKey(spec.key)))
        self._note_use(key, output.store)
        if output.store.rotating.is_on:
            self._rotating.append(output.store)
        if not is_applied:
            return False
        stored, chunks = self._begun.get(key, 0), _start_times(spec, sinks)
        self._begun[key] = max(stored, len(chunks), 1)
        if chunks[stored:] and not output.store.is_complete:
            output.store.append(chunks[stored:])
            output.store.flush(FLUSH_TIMEOUT)
            for live in output.live.values():
                live.wake()
        return True

    def _is_taken(self, path: str, key: OutputKey) -> bool:
        """Whether a file of this output belongs to another recording now, or to the whole of the same recording."""
        owner = self._files.get(path, key)
        return owner.recording != key.recording or (bool(key.scoped_to) and owner != key)

    def build(self, frames: Sequence[TakenFrames], rows: Sequence[TakenRows]) -> BuiltChunks:
        """Group the rows of a sweep into chunks."""
        if not frames:
            return build_table_chunks(rows, nonce=self._nonce)
        built = build_chunks(frames, nonce=self._nonce)
        if not rows:
            return built
        tables = build_table_chunks(rows, nonce=self._nonce)
        return BuiltChunks(
            built.chunks + tables.chunks, built.good_rows + tables.good_rows, built.damaged_rows + tables.damaged_rows
        )

    def add(self, chunks: Sequence[ChunkBatch]) -> None:
        """Store chunks that the collector logs itself, and show them to the live sinks."""
        self.store(chunks)
        self.flush()
        self.show(chunks)

    def begin(self, sweep: int, chunks: Sequence[ChunkBatch]) -> None:
        """Announce all chunks of a sweep to the stores, before any of them is stored."""
        for key, group in self._by_output(chunks):
            if self._may_have(key):
                self._output(key).store.begin(sweep, {chunk.chunk_id for chunk in group})

    def store(self, chunks: Sequence[ChunkBatch], *, is_shown_ahead: bool = False) -> list[ChunkBatch]:
        """Hand chunks to stores (with `is_shown_ahead`, to live sinks first). Return those refused. `flush` follows."""
        refused: list[ChunkBatch] = []
        for key, group in self._by_output(chunks):
            if not self._may_have(key):
                refused += group
                continue
            output = self._output(key)
            store = output.store
            refused_here = store.append(group, output.show_ahead if is_shown_ahead and output.live else None)
            refused += [] if key.scoped_to else refused_here
            if store not in self._unflushed:
                self._unflushed.append(store)
            self._note_use(key, store)
        return refused

    def rotate_if_due(self, *, has_participants: bool) -> None:
        """As `RecordingStore.rotate_if_due`, for each file that rotates."""
        for store in self._rotating:
            store.rotate_if_due(has_participants=has_participants)

    def flush(self) -> None:
        """Wait until the stores have flushed what was handed to them."""
        for store in self._unflushed:
            store.flush(FLUSH_TIMEOUT)
        self._unflushed.clear()

    def show(self, chunks: Sequence[ChunkBatch], *, is_before_rest: bool = False) -> None:
        """Wake the live sinks that take some of these chunks. See `live.wake_all`."""
        keys = [key for key, _ in self._by_output(chunks) if key in self._outputs]
        wake_all([sink for key in keys for sink in self._outputs[key].live.values()], is_before_rest=is_before_rest)

    def _by_output(self, chunks: Sequence[ChunkBatch]) -> Iterator[tuple[OutputKey, list[ChunkBatch]]]:
        """Yield each output that takes some of the chunks, and those chunks."""
        for recording, group in groupby(sorted(chunks, key=_recording_of), key=_recording_of):
            all_chunks = list(group)
            yield OutputKey(recording), all_chunks
            for key in self._scoped.get(recording, ()):
                owners = self._outputs[key].owners
                scopes = {chunk.scope for chunk in all_chunks}
                inside = {scope for scope in scopes if NODE_OWNER in owners or self._config.around(scope) & owners}
                some = [chunk for chunk in all_chunks if chunk.scope in inside]
                if some:
                    yield key, some

    def recordings(self) -> list[RecordingKey]:
        """Return the recordings of the session."""
        return [key for key, _ in self.stores()]

    def stores(self) -> list[tuple[RecordingKey, RecordingStore]]:
        """Return recordings and their stores, without the stores of single sinks."""
        return [(key.recording, one.store) for key, one in self._outputs.items() if not key.scoped_to]

    def of_recording(self, recording: RecordingKey) -> list[RecordingOutput]:
        """Return the recording's own output, and then those of single sinks."""
        return [one for key, one in sorted(self._outputs.items()) if key.recording == recording]

    def files(self) -> list[str]:
        """Return the paths of the user's files that are being written. The session's own files are not among them."""
        spool = f"{self._spool}{os.sep}"
        targets = {sink.target for output in self._outputs.values() for sink in output.store.reports()}
        return sorted(path for path in targets if not path.startswith(spool))

    def drops(self) -> dict[Reason, Counter[int]]:
        """Return the rows that the stores have given up or held back, by reason and producer."""
        return _sum([store.drops.by_reason() for _, store in self.stores()])

    def drops_of_sweep(self, sweep: int) -> dict[Reason, Counter[int]]:
        """Return those of `drops` that came with this sweep, the last one."""
        return _sum([store.drops.of_sweep(sweep) for _, store in self.stores()])

    def dropped_rows(self) -> int:
        """Return how many rows have been dropped for any reason, as last published."""
        return sum(self._segment.ring.words[Header.DROPPED + reason] for reason in LOSSES)

    def drops_version(self) -> int:
        """Return a number that grows whenever a store gives rows up or holds some back."""
        return sum(output.store.drops.version for key, output in self._outputs.items() if not key.scoped_to)

    def complete_files(self, patience_secs: float, rescue_directory: str | None = None) -> int:
        """Complete every file, and return how many could not be completed within `patience_secs`.

        The rows of such a file stay where they are. With `rescue_directory`, rows that have no file get one there.
        Rows that only live sinks take stay in the spool until `keep_unsent`.
        """
        unfinished = [
            (key, output)
            for key, output in self._outputs.items()
            if rescue_directory is not None or output.store.chunks.is_for_file or not (output.live or output.stopped)
        ]
        deadline = time.monotonic() + patience_secs
        while True:
            failed = []
            for key, output in unfinished:
                try:
                    output.store.complete(_rescue_path(rescue_directory, key, self._nonce))
                except OSError as error:
                    failed.append((key, output))
                    say(f"worker {os.getpid()}: {key.recording}: {error}")
            unfinished = failed
            if not unfinished or time.monotonic() >= deadline:
                return len(unfinished)
            time.sleep(RETRY_SECS)

    def completed_files(self) -> list[tuple[WholeFile, int | None, int]]:
        """Return the files that `complete_files` has completed, their rows, and the rows that their rules hold back.

        Rows are None if their number is unknown without reading the file.
        """
        stores = [output.store for output in self._outputs.values()]
        return [
            (one, store.chunks.known_rows() if len(store.completed_files()) == 1 else None, store.chunks.held_rows)
            for store in stores
            for one in store.completed_files()
        ]

    def keep_unsent(self) -> list[str]:
        """As `RecordingOutput.keep_unsent`, for all recordings. Returns the lines for the user."""
        found = [output.keep_unsent(key.recording, self._nonce) for key, output in self._outputs.items()]
        kept = [path for files, _ in found for path in files]
        return [line for _, lines in found for line in lines] + (drop_oldest(kept) if kept else [])

    def sinks(self) -> list[SinkStatus]:
        """Return the state of each sink."""
        found = []
        for output in list(self._outputs.values()):
            found += [*output.store.reports(), *(sink.report() for sink in output.live.values())]
        return found

    def has_live(self) -> bool:
        """Return whether a live sink follows some recording."""
        return any(output.live for output in self._outputs.values())

    def stop_live(self) -> None:
        """Let all live sinks deliver what is stored now, and nothing later. Never waits."""
        for output in self._outputs.values():
            output.stop_live()

    def close_live(self, patience: float) -> None:
        """Wait until each stopped live sink has delivered its rows, or made no progress for `patience` seconds."""
        for output in self._outputs.values():
            output.close_live(patience, list(output.stopped))

    def _note_use(self, key: OutputKey, store: RecordingStore) -> None:
        """Close the files of the longest unused recordings if too many are being written."""
        self._open.pop(key, None)
        if store.is_open:
            self._open[key] = store
        while len(self._open) > MAX_OPEN:
            self._open.pop(next(iter(self._open))).rest()

    def _may_have(self, key: OutputKey) -> bool:
        """Whether the output exists or may be made: the number of unknown recordings is bounded."""
        if key not in self._outputs:
            if len(self._unknown) >= MAX_UNKNOWN:
                return False
            self._unknown.add(key.recording)
        return True

    def _output(self, key: OutputKey) -> RecordingOutput:
        output = self._outputs.get(key)
        if output is None:
            store = RecordingStore(
                key.recording,
                self._spool,
                self._nonce,
                scoped_to=key.scoped_to,
                max_bytes=self._spool_bytes,
                first_rows=partial(read_first_rows, self._segment),
            )
            output = self._outputs[key] = RecordingOutput(store)
            if key.scoped_to:
                self._scoped.setdefault(key.recording, []).append(key)
        return output
