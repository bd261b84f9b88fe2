"""Reads .rrd files back with rerun-sdk, also while they are written, and copies their chunks. Any thread may call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rerun_mp.collector.store import rerun_sdk as sdk
from rerun_mp.collector.store.rerun_sinks import SinkWriter
from rerun_mp.encoding.rrd_files import windows

__all__ = ["merge", "read_file"]

MERGE_FLUSH_BYTES = 16 << 20
"""Bytes after which `merge` flushes, which bounds its memory."""
MERGE_FLUSH_SECS = 60.0
"""Maximum seconds for each of these flushes."""


def read_file(
    path: str | Path, *, prelude: int, skip: int = 0, limit: int | None = None, begin: int = 0
) -> Iterator[sdk.Chunk]:
    """Yield the chunks of an .rrd file that may be unfinished, torn or still growing, in bounded memory.

    Parameters
    ----------
    path
        Where the file lies. If there is none, nothing is yielded.
    prelude
        Size of the file before its first chunk in bytes, see `SinkWriter.prelude`.
    skip, limit
        Leave out the first `skip` chunks, and end after `limit` chunks.
    begin
        Where the recording begins in the file; other recordings lie before it.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 (the generator may never be finished)
    except FileNotFoundError:
        return
    with file:
        for window in windows(file.fileno(), prelude, skip=skip, limit=limit, begin=begin):
            yield from sdk.chunks_in(f"/proc/self/fd/{window}")


def merge(sources: Iterable[Iterable[sdk.Chunk]], writer: SinkWriter, seen: set[int] | None = None) -> int:
    """Copy the chunks of `sources` in order, each chunk id once, and return the number of repeated chunks left out.

    `seen`: the chunk ids that the writer has got before; the call adds to them.

    Raises
    ------
    FlushTimeoutError, ResourceError
        If the writer fails. The caller closes or abandons it.
    """
    seen = set() if seen is None else seen
    repeated = 0
    for source in sources:
        num_bytes = 0
        for chunk in source:
            number = int(chunk.id.removeprefix("chunk_"), 16)
            if number in seen:
                repeated += 1
                continue
            seen.add(number)
            writer.send(chunk)
            num_bytes += chunk.to_record_batch().nbytes
            if num_bytes >= MERGE_FLUSH_BYTES:
                writer.flush(MERGE_FLUSH_SECS)
                num_bytes = 0
    writer.flush(MERGE_FLUSH_SECS)
    return repeated
