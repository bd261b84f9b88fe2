"""Writes files with rerun-sdk's sinks, streams to viewers, and reads files back.

What rerun-sdk 0.41 does, and what is made of it here (each measured; tests hold it down):

- `send_chunks` keeps pointing at our buffers until they are written: what is sent must never change afterwards.
- `FileSink` flushes within a millisecond. Once a write fails (disk full) its thread is gone for good: every later row
  vanishes silently, flushes time out, and disconnecting never returns. Such a writer is *abandoned*, not closed.
- A gRPC stream's flush waits until all but the last 1 to 2 MB have gone out: against a frozen viewer it times out. Its
  channels take 200 to 400 MB before `send` blocks, and then flushing hangs beyond its timeout too: so whoever sends
  flushes every few megabytes, and sends nothing more while that times out. Once the viewer has gone, flushing raises
  at once, and nothing ever reconnects: open another one.
- Opening a gRPC stream to a port where nobody listens blocks for 5 s; closing one to a frozen viewer blocks until the
  viewer moves again or is gone.
- One sink per stream. Several sinks of one stream wait for each other.
- A stream that is dropped keeps two threads until rerun-sdk is told to flush *all* streams, which a frozen viewer would
  hold up. So the streams of closed files are kept and used again for further files of their recording.

Native calls release the GIL, so a stuck one holds up its own thread only. Used by the collector: a writer belongs to
one thread; reading is possible from any.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.store import rerun_sdk as sdk
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.rrd_files import end_of_prelude, windows
from rerun_mp.errors import CorruptionError, FlushTimeoutError, ResourceError
from rerun_mp.session.config import Blueprint

__all__ = ["SinkWriter", "merge", "open_file", "open_grpc", "open_server", "read_chunks", "read_file"]

OPEN_FLUSH_SECS = 5.0
MERGE_FLUSH_BYTES = 16 << 20
MERGE_FLUSH_SECS = 60.0

_at_rest: dict[RecordingKey, list[sdk.Stream]] = {}
"""Streams of closed files, by what they can write."""


class SinkWriter:
    """A recording stream with exactly one sink. Made by `open_file` and `open_grpc`; belongs to one thread."""

    def __init__(self, stream: sdk.Stream, target: str) -> None:
        self._stream: Any = stream
        self.target = target
        self.prelude = 0
        """Size of a file before its first chunk."""
        self.recording: RecordingKey | None = None
        """What a file's stream can be used for again."""

    def send(self, chunk: ChunkBatch | sdk.Chunk) -> None:
        """Hand one chunk over. Blocks only when about 200 MB wait already.

        Raises
        ------
        CorruptionError
            If rerun-sdk cannot make a chunk of it. Nothing was sent.
        """
        self._stream.send(_chunk_of(chunk) if isinstance(chunk, ChunkBatch) else chunk)

    def send_all(self, chunks: Sequence[ChunkBatch]) -> list[tuple[ChunkBatch, CorruptionError]]:
        """Hand chunks over at once. Returns those of which rerun-sdk can make none, and why; they were not sent."""
        converted: list[sdk.Chunk] = []
        refused: list[tuple[ChunkBatch, CorruptionError]] = []
        for chunk in chunks:
            try:
                converted.append(_chunk_of(chunk))
            except CorruptionError as error:
                refused.append((chunk, error))
        self._stream.send(converted)
        return refused

    def send_blueprint(self, recording: RecordingKey, blueprint: Blueprint) -> None:
        """Send a blueprint of the recording's application, in one go: in a file nothing comes in between.

        Raises
        ------
        ResourceError
            If it cannot be read or sent.
        """
        try:
            self._stream.send_blueprint(
                _blueprint_storage(recording.application_id, blueprint.data),
                make_active=blueprint.make_active,
                make_default=blueprint.make_default,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ResourceError(f"{self.target} takes no blueprint: {error}") from error

    def flush(self, timeout_secs: float) -> None:
        """Wait until a file has everything, or a viewer all but the last 1 to 2 MB.

        Raises
        ------
        FlushTimeoutError
            If that took longer. Flushing again is fine.
        ResourceError
            If the other side is gone. What is sent from now on vanishes: abandon this writer.
        """
        try:
            self._stream.flush(timeout_secs)
        except (RuntimeError, ValueError) as error:
            if "timed out" in str(error) or "unable to connect" in str(error):
                raise FlushTimeoutError(f"{self.target} did not take its rows within {timeout_secs:g} s") from error
            raise ResourceError(f"{self.target} takes no more rows: {error}") from error

    def close(self, timeout_secs: float) -> None:
        """Flush and disconnect; a file gets its footer. Abandons the writer if that fails, and never takes much longer.

        Raises
        ------
        FlushTimeoutError, ResourceError
            As `flush`. The file is then not complete.
        """
        try:
            self.flush(timeout_secs)
        except (FlushTimeoutError, ResourceError):
            self.abandon()
            raise
        if not self.discard(timeout_secs):
            raise FlushTimeoutError(f"{self.target} could not be closed within {timeout_secs:g} s")

    def discard(self, timeout_secs: float) -> bool:
        """Disconnect, flushed or not. Abandons the writer and returns False if that hangs."""
        if self._stream is None:
            return False
        thread = threading.Thread(target=self._stream.disconnect, name="rerun_mp-disconnect", daemon=True)
        thread.start()
        thread.join(timeout_secs)
        if thread.is_alive():
            self.abandon()
            return False
        if self.recording is not None:
            _at_rest.setdefault(self.recording, []).append(self._stream)
        self._stream = None
        return True

    def abandon(self) -> None:
        """Leave the stream as it is, for the rest of the process's life. Disconnecting or dropping it could hang."""
        if self._stream is not None:
            # Not even the end of the interpreter may drop it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._stream))
            self._stream = None


def open_file(
    path: str | Path, recording: RecordingKey, *, write_footer: bool = True, blueprint: str | None = None
) -> SinkWriter:
    """Begin the file at `path`, which is truncated.

    Parameters
    ----------
    path
        The file.
    recording
        The recording that it will hold.
    write_footer
        Whether closing completes it with a footer. Costs about 235 bytes of memory a chunk.
    blueprint
        Default blueprint, as base64 of an .rrd file with one blueprint store.

    Raises
    ------
    ResourceError
        If it cannot be created or written.
    """
    stream = _at_rest[recording].pop() if _at_rest.get(recording) else None
    writer = _open(sdk.FileSink(os.fspath(path), write_footer=write_footer), str(path), recording, blueprint, stream)
    writer.recording = recording
    try:
        writer.flush(OPEN_FLUSH_SECS)
    except (ResourceError, FlushTimeoutError):
        writer.abandon()
        raise
    writer.prelude = end_of_prelude(path) if os.path.isfile(path) else 0
    return writer


def open_grpc(url: str, recording: RecordingKey, *, blueprint: str | None = None) -> SinkWriter:
    """Connect to the viewer or server at `url`. Blocks up to 5 s if it does not answer.

    Raises
    ------
    ResourceError
        If `url` cannot be used.
    """
    return _open(sdk.GrpcSink(url), url, recording, blueprint)


def open_server(options: str, recording: RecordingKey, *, blueprint: str | None = None) -> SinkWriter:
    """Listen where `options`, the target of a sink of kind "serve", says.

    Raises
    ------
    ResourceError
        If something else listens there.
    """
    bind_ip, port, memory_limit, newest_first, origins = json.loads(options)
    try:
        sink = sdk.GrpcServerSink(
            bind_ip,
            port,
            server_memory_limit=memory_limit,
            newest_first=newest_first,
            cors_allow_origin=origins,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise ResourceError(f"no server can listen on port {port}: {error}") from error
    return _open(sink, f"the server on port {port}", recording, blueprint)


def read_file(path: str | Path, *, prelude: int, skip: int = 0, limit: int | None = None) -> Iterator[sdk.Chunk]:
    """Yield the chunks of our file at `path`, as `read_chunks` does; nothing if it is not there."""
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed below; a generator may never be finished)
    except FileNotFoundError:
        return
    with file:
        yield from read_chunks(file.fileno(), prelude=prelude, skip=skip, limit=limit)


def read_chunks(fd: int, *, prelude: int, skip: int = 0, limit: int | None = None) -> Iterator[sdk.Chunk]:
    """Yield the chunks of an .rrd file that may be unfinished, torn or still growing, in bounded memory.

    Parameters
    ----------
    fd
        A descriptor of the file. Not closed; its position is neither used nor changed.
    prelude
        Size of the file before its first chunk, see `SinkWriter.prelude`.
    skip, limit
        Leave out the first `skip` chunks, and all after `limit` more.
    """
    for window in windows(fd, prelude, skip=skip, limit=limit):
        yield from sdk.chunks_in(f"/proc/self/fd/{window}")


def merge(sources: Iterable[Iterable[sdk.Chunk]], writer: SinkWriter) -> int:
    """Copy the chunks of `sources` in order, each chunk id once, and return how many were left out as repeated.

    Raises
    ------
    FlushTimeoutError, ResourceError
        If the writer fails. It is left to the caller to close or abandon it.
    """
    seen: set[int] = set()
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


def _open(
    sink: Any, target: str, recording: RecordingKey, blueprint: str | None, stream: sdk.Stream | None = None
) -> SinkWriter:
    if stream is None:
        stream = sdk.Stream.begin(recording)
    try:
        storage = _blueprint_storage(recording.application_id, blueprint) if blueprint is not None else None
        stream.set_sink(sink, storage)
    except (RuntimeError, ValueError, OSError) as error:
        raise ResourceError(f"{target} cannot be opened: {error}") from error
    return SinkWriter(stream, target)


def _blueprint_storage(application_id: str, blueprint: str) -> Any:
    """Return the blueprint as the storage that rerun-sdk takes for a default blueprint."""
    window = os.memfd_create("rerun_mp-blueprint", os.MFD_CLOEXEC)
    try:
        with open(window, "wb", closefd=False) as file:
            file.write(base64.b64decode(blueprint))
        return sdk.store_blueprint(application_id, f"/proc/self/fd/{window}")
    finally:
        os.close(window)


def _chunk_of(chunk: ChunkBatch) -> sdk.Chunk:
    try:
        (converted,) = sdk.chunks_of_batch(chunk.batch)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of native code is no Exception
        raise CorruptionError(f"rerun-sdk refuses chunk {chunk.chunk_id} of {chunk.entity_path!r}: {error}") from error
    return converted
