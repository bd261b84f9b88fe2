"""Writes .rrd files with rerun-sdk's sinks, and runs its servers. `acknowledged_calls` sends to viewers and servers.

Behaviour of rerun-sdk 0.41, measured and tested with the installed version, and the consequences for the collector:

- `send_chunks` keeps pointing at our buffers until they are written. A chunk must never change after it was sent.
- `FileSink` truncates the file that it opens, and flushes within a millisecond. Once a write fails (disk full), its
  thread is gone for good: every later row vanishes silently, flushes time out, and disconnecting never returns. Such a
  writer is *abandoned*, not closed.
- The flush of a gRPC stream returns when the last 1 to 2 MB have left for the kernel, whether or not a server takes
  them, and closing a stream to a frozen viewer blocks. So the collector makes its own calls, which servers answer.
- Several sinks of one stream wait for each other. So each stream has one sink.
- A dropped stream keeps two threads until rerun-sdk flushes *all* streams, which a frozen viewer would hold up. So the
  streams of closed files are kept and used again for further files of their recording.

Native calls release the GIL, so a stuck call holds up its own thread only. Used by the collector; a writer belongs to
one thread.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.store import rerun_sdk as sdk
from rerun_mp.collector.store import sections
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.rrd_files import end_of_prelude
from rerun_mp.errors import CorruptionError, FlushTimeoutError, ResourceError
from rerun_mp.session.config import Blueprint

__all__ = ["SinkWriter", "chunk_of", "open_file", "open_server"]

OPEN_FLUSH_SECS = 5.0
"""Maximum seconds until a new file has its prelude."""
BLUEPRINT_FLUSH_SECS = 10.0
"""Maximum seconds until a file has a blueprint."""
SECTION_SECS = 30.0
"""Maximum seconds to close the writer of a file's section."""

_idle_streams: dict[RecordingKey, list[sdk.Stream]] = {}
"""Streams of closed files, by the recording that they can write."""


class SinkWriter:
    """A recording stream with one sink. Made by `open_file` and `open_server`; belongs to one thread."""

    def __init__(self, stream: sdk.Stream, target: str) -> None:
        self._stream: Any = stream
        self.target = target
        self.prelude = 0
        """Size of a file before its first chunk, in bytes."""
        self.recording: RecordingKey | None = None
        """The recording whose next file can use a file's stream again."""
        self.sections: sections.FileSections | None = None
        """The sections of a file that gets a footer."""
        self._chunks = 0
        """Number of chunks in the file's present section."""

    def descriptor(self, inode: tuple[int, int]) -> int | None:
        """Return rerun's descriptor for its file, which has this inode. None: it is not found."""
        if self.sections is not None:
            return self.sections.descriptor()
        return sections.descriptor_for_writing(inode)

    def go_on_in(self, path: str, descriptor: int) -> None:
        """Write to another file from now on, a copy of the present one, which is flushed.

        `descriptor`: result of `descriptor` for the present file.

        Raises
        ------
        OSError
            If the file cannot be opened. The writer goes on in the present one.
        """
        with open(path, "ab", buffering=0) as file:
            os.dup2(file.fileno(), descriptor, inheritable=False)
        self.target = path
        if self.sections is not None:
            self.sections.go_on_in(descriptor)

    def send(self, chunk: ChunkBatch | sdk.Chunk) -> None:
        """Hand one chunk over. Blocks only while about 200 MB are queued.

        Raises
        ------
        CorruptionError
            If rerun-sdk refuses the chunk. Nothing was sent.
        """
        self._stream.send(chunk_of(chunk) if isinstance(chunk, ChunkBatch) else chunk)
        self._chunks += 1

    def send_all(self, chunks: Sequence[sdk.Chunk]) -> None:
        """Hand chunks over at once. Blocks as `send` does."""
        self._stream.send(chunks)
        self._chunks += len(chunks)

    def send_blueprint(self, recording: RecordingKey, blueprint: Blueprint) -> None:
        """Send a blueprint of the recording's application to a file, and wait until the file has it.

        Its chunks then lie together: rerun-sdk has a queue for messages and one for chunks, and may take a chunk that
        is sent later in the middle of the blueprint.

        Raises
        ------
        FlushTimeoutError
            If the file still takes it, but has not taken all in time.
        ResourceError
            If the blueprint cannot be read or sent.
        """
        try:
            self._stream.send_blueprint(
                _blueprint_storage(recording.application_id, blueprint.data),
                make_active=blueprint.make_active,
                make_default=blueprint.make_default,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ResourceError(f"{self.target} takes no blueprint: {error}") from error
        self.flush(BLUEPRINT_FLUSH_SECS)

    def flush(self, timeout_secs: float) -> None:
        """Wait until a file has everything.

        Raises
        ------
        FlushTimeoutError
            If that took longer. Flushing again goes on.
        ResourceError
            If the file takes no more. Later chunks would vanish: abandon this writer.
        """
        self._flush(timeout_secs)
        if self.sections is not None and self._chunks >= sections.MAX_CHUNKS:
            self._begin_section(self.sections)

    def _flush(self, timeout_secs: float) -> None:
        try:
            self._stream.flush(timeout_secs)
        except (RuntimeError, ValueError) as error:
            if "timed out" in str(error) or "unable to connect" in str(error):
                raise FlushTimeoutError(f"{self.target} did not take its rows within {timeout_secs:g} s") from error
            raise ResourceError(f"{self.target} takes no more rows: {error}") from error

    def _begin_section(self, file: sections.FileSections) -> None:
        """Let another of rerun's writers go on in the file, which is flushed."""
        self._chunks = 0
        recording = self.recording
        if recording is None or not file.prepare():
            return
        try:
            self._end_section(file, SECTION_SECS)
            following = _open_sink(file.begin_section(), self.target, recording)
            self._stream = following._stream
            self._flush(OPEN_FLUSH_SECS)
            file.turn_to_file()
        except (CorruptionError, FlushTimeoutError, OSError) as error:
            raise ResourceError(f"{self.target} takes no more rows: {error}") from error

    def _end_section(self, file: sections.FileSections, timeout_secs: float) -> None:
        file.turn_away()
        if not self.discard(timeout_secs):
            raise FlushTimeoutError(f"{self.target} could not be closed within {timeout_secs:g} s")
        file.end_section()

    def close(self, timeout_secs: float) -> None:
        """Flush and disconnect; a file gets its footer. On failure, or after `timeout_secs`, abandon the writer.

        Raises
        ------
        FlushTimeoutError, ResourceError
            As `flush`. The file is not complete then.
        """
        try:
            self._flush(timeout_secs)
        except (FlushTimeoutError, ResourceError):
            self.abandon()
            raise
        file, self.sections = self.sections, None
        if file is not None and file.has_ended_sections:
            self._complete(file, timeout_secs)
        elif not self.discard(timeout_secs):
            raise FlushTimeoutError(f"{self.target} could not be closed within {timeout_secs:g} s")

    def _complete(self, file: sections.FileSections, timeout_secs: float) -> None:
        """End the last section, and write the footer of all sections."""
        try:
            if not file.prepare():
                self.abandon()
                raise OSError("no descriptor or no space is left")
            self._end_section(file, timeout_secs)
            file.write_footer()
        except (CorruptionError, OSError) as error:
            raise ResourceError(f"{self.target} gets no footer: {error}") from error
        finally:
            file.close()

    def discard(self, timeout_secs: float) -> bool:
        """Disconnect, flushed or not. If that hangs, abandon the writer and return False."""
        if self._stream is None:
            return False
        thread = threading.Thread(target=self._stream.disconnect, name="rerun_mp-disconnect", daemon=True)
        thread.start()
        thread.join(timeout_secs)
        if thread.is_alive():
            self.abandon()
            return False
        if self.recording is not None:
            _idle_streams.setdefault(self.recording, []).append(self._stream)
        self._stream = None
        return True

    def abandon(self) -> None:
        """Leave the stream as it is until the process ends. Disconnecting or dropping it could hang."""
        if self._stream is not None:
            # One reference too many: not even the interpreter's end may drop the stream.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._stream))
            self._stream = None
        if self.sections is not None:
            self.sections.close()
            self.sections = None


def open_file(
    path: str | Path, recording: RecordingKey, *, write_footer: bool = True, blueprint: str | None = None
) -> SinkWriter:
    """Begin a file at `path`. A file that lies there is truncated.

    Parameters
    ----------
    path
        Where the file lies.
    recording
        The recording that the file will hold.
    write_footer
        Whether closing completes the file with a footer. `sections` says what memory that takes.
    blueprint
        Default blueprint, as base64 of an .rrd file with one blueprint store.

    Raises
    ------
    ResourceError
        If the file cannot be created or written.
    """
    writer = _open_sink(path, str(path), recording, write_footer=write_footer, blueprint=blueprint)
    try:
        writer.flush(OPEN_FLUSH_SECS)
    except (ResourceError, FlushTimeoutError):
        writer.abandon()
        raise
    writer.prelude = end_of_prelude(path) if os.path.isfile(path) else 0
    if write_footer and os.path.isfile(path):
        writer.sections = sections.FileSections(os.fspath(path))
    return writer


def _open_sink(
    path: str | Path, target: str, recording: RecordingKey, *, write_footer: bool = True, blueprint: str | None = None
) -> SinkWriter:
    stream = None
    with contextlib.suppress(KeyError, IndexError):  # another thread may take the last one
        stream = _idle_streams[recording].pop()
    writer = _open(sdk.FileSink(os.fspath(path), write_footer=write_footer), target, recording, blueprint, stream)
    writer.recording = recording
    return writer


def open_server(options: str, recording: RecordingKey) -> SinkWriter:
    """Start a gRPC server. `options` is the target of a sink of kind "serve": JSON with address, port and limits.

    Raises
    ------
    ResourceError
        If the port is taken, or the options are invalid.
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
    return _open(sink, f"the server on port {port}", recording)


def _open(
    sink: Any, target: str, recording: RecordingKey, blueprint: str | None = None, stream: sdk.Stream | None = None
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
    """Return a blueprint, given as base64 of an .rrd file, in the form that rerun-sdk's sinks take."""
    window = os.memfd_create("rerun_mp-blueprint", os.MFD_CLOEXEC)
    try:
        with open(window, "wb", closefd=False) as file:
            file.write(base64.b64decode(blueprint))
        return sdk.store_blueprint(application_id, f"/proc/self/fd/{window}")
    finally:
        os.close(window)


def chunk_of(chunk: ChunkBatch) -> sdk.Chunk:
    """Return rerun's form of a chunk, which sinks take.

    Raises
    ------
    CorruptionError
        If rerun-sdk refuses the chunk.
    """
    try:
        (converted,) = sdk.chunks_of_batch(chunk.batch)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of native code is not an Exception
        raise CorruptionError(f"rerun-sdk refuses chunk {chunk.chunk_id} of {chunk.entity_path!r}: {error}") from error
    return converted
