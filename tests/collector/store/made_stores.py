"""Stores, and what is put into them, for the tests of stores and live sinks."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.drain.frame_chunks import TakenFrames, build_chunks
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.rerun_sinks import open_file
from rerun_mp.encoding.log_messages import batch_of
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.sink_status import SinkStatus
from tests.collector.made_frames import NONCE, RECORDING, scalars_frame
from tests.harness.programs import run_program
from tests.harness.recordings import rows_of

__all__ = [
    "FLUSH_SECS",
    "chunks",
    "dropped_rows",
    "file_spec",
    "file_status",
    "live_and_be_killed",
    "nothing_left",
    "numbers_in",
    "numbers_read",
    "put",
    "step_in",
    "write_file",
]


FLUSH_SECS = 20.0


def chunks(numbers: Sequence[int], *, rows: int = 1) -> list[ChunkBatch]:
    """Return a chunk for each number n, with `rows` rows that have the ids (1000 + n, 0), (1000 + n, 1) ..."""
    return [
        chunk
        for n in numbers
        for chunk in build_chunks(
            [TakenFrames(0, 0, n, n + 1, [scalars_frame([float(n)] * rows, row_id=(1000 + n, 0))])], nonce=NONCE
        ).chunks
    ]


def numbers_in(path: Path) -> list[int]:
    """Return n of every row of the file, in its order."""
    return [int.from_bytes(row.row_id[:8], "big") - 1000 for row in rows_of(path)]


def numbers_read(store: RecordingStore, since: int = 0) -> list[int]:
    """Return n of every chunk that a reader of the store gets."""
    return [step_in(chunk.payload) for chunk in store.chunks.read(since)]


def step_in(payload: bytes) -> int:
    """Return n of a chunk's message."""
    return int(batch_of(payload).column("step")[0].as_py())


def write_file(path: Path, some: Sequence[ChunkBatch]) -> Path:
    """Write an .rrd file with these chunks, and return its path."""
    writer = open_file(path, RECORDING)
    for chunk in some:
        writer.send(chunk)
    writer.close(FLUSH_SECS)
    return path


def file_spec(path: Path, **settings: object) -> SinkSpec:
    return SinkSpec("file", str(path), **settings)  # type: ignore[arg-type]


def put(store: RecordingStore, numbers: Sequence[int], *, rows: int = 1) -> None:
    store.append(chunks(numbers, rows=rows))
    store.flush(FLUSH_SECS)


def nothing_left(spool: Path, out: Path) -> bool:
    return not list(spool.iterdir()) and os.listdir(out.parent) == [out.name]


LIFE = """
import os, signal, sys
from pathlib import Path
from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import chunks, file_spec, put
spool, out, numbers, target = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
store = RecordingStore(RECORDING, spool, NONCE)
if target == "file":
    store.set_files([file_spec(out)])
put(store, [int(n) for n in numbers.split(",")])
store.append(chunks([99]))
if sys.argv[5] == "written":
    store._writing.writer.flush(10.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def live_and_be_killed(
    spool: Path, out: Path, numbers: Sequence[int], target: str = "file", *, is_written: bool = False
) -> None:
    """Run a collector that flushes these numbers, appends number 99, and is killed before it has noted that.

    `is_written`: number 99 is in the file by then; otherwise it may be.
    """
    numbers_text = ",".join(map(str, numbers))
    done = run_program(LIFE, spool, out, numbers_text, target, "written" if is_written else "")
    assert done.returncode == -signal.SIGKILL, done.describe()


def file_status(store: RecordingStore) -> SinkStatus:
    """Return the status of the store's one file."""
    (status,) = store.reports()
    return status


def dropped_rows(store: RecordingStore) -> int:
    """Return the number of rows that the store has given up."""
    return store.drops.total()
