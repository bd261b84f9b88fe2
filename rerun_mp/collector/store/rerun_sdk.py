"""The functions of rerun-sdk that the collector uses. No other module of the collector looks them up.

It uses `rerun_bindings`, rerun-sdk's native part, which loads in 0.02 s. `import rerun` takes 0.5 s, which every new
worker would pay before its first sweep. `compat.versions` says how releases differ.

Functions are looked up in `bindings` at each call. Any thread may call; a `Stream` belongs to one thread.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import rerun_bindings as bindings
from rerun_bindings import ChunkInternal as Chunk
from rerun_bindings import FileSink, RrdReaderInternal

from rerun_mp.compat import versions
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.hooks import when_loaded as imports

__all__ = [
    "Chunk",
    "FileSink",
    "GrpcServerSink",
    "ServerOptions",
    "Stream",
    "chunks_in",
    "chunks_of_batch",
    "store_blueprint",
]

BATCHER_SECS = 3600.0
"""Seconds between two looks of a stream's thread for single rows, which the collector never sends."""

_make_chunks = versions.chunk_maker(Chunk)

_quiet_lock = threading.Lock()
"""Guards `sys.modules` and Python's warning filters while a reader opens a file: both are the whole process's."""


class ServerOptions:
    """Options of a gRPC server for releases before 0.36, which have no class `GrpcServerSink`.

    The servers of these releases listen on every interface: they take no address.
    """

    def __init__(
        self,
        bind_ip: str,
        port: int,
        *,
        server_memory_limit: str,
        newest_first: bool,
        cors_allow_origin: list[str],
    ) -> None:
        del bind_ip
        self.options = (port, server_memory_limit, newest_first)
        self.cors_allow_origin = cors_allow_origin

    def serve(self, native: Any, blueprint: Any) -> None:
        """Start the server as the sink of a native stream."""
        bindings.serve_grpc(*self.options, blueprint, native, self.cors_allow_origin)


GrpcServerSink: Any = getattr(bindings, "GrpcServerSink", ServerOptions)


class Stream:
    """A native recording stream, without sinks at first."""

    def __init__(self, native: Any) -> None:
        self.native = native
        # The interpreter may clear `bindings` before it drops the last streams.
        self._flush = bindings.flush
        self._disconnect_orphans = bindings.disconnect_orphaned_recordings

    @classmethod
    def begin(cls, recording: RecordingKey) -> Stream:
        """Begin a stream that writes chunks of `recording`, and no rows of its own."""
        return cls(
            bindings.new_recording(
                application_id=recording.application_id,
                recording_id=recording.recording_id,
                make_default=False,
                make_thread_default=False,
                default_enabled=True,
                send_properties=False,
                batcher_config=_batcher_config(),
            )
        )

    def set_sink(self, sink: Any, blueprint: Any) -> None:
        """Write to `sink` from now on, beginning with `blueprint`, a result of `store_blueprint`, or None."""
        if isinstance(sink, ServerOptions):
            sink.serve(self.native, blueprint)
        else:
            bindings.set_sinks([sink], default_blueprint=blueprint, recording=self.native)

    def send(self, chunks: Chunk | Iterable[Chunk]) -> None:
        """Queue chunks. Blocks while about 200 MB are queued."""
        bindings.send_chunks(chunks, recording=self.native)

    def send_blueprint(self, blueprint: Any, *, make_active: bool, make_default: bool) -> None:
        """Send a result of `store_blueprint`."""
        bindings.send_blueprint(blueprint, make_active=make_active, make_default=make_default, recording=self.native)

    def flush(self, timeout_secs: float) -> None:
        """Wait until the sink has taken what was sent. Raises RuntimeError or ValueError if it does not."""
        bindings.flush(timeout_sec=timeout_secs, recording=self.native)

    def disconnect(self) -> None:
        """Close the sink. Blocks for as long as the sink does not take what was sent."""
        bindings.disconnect(recording=self.native)

    def __del__(self) -> None:
        """End the stream's threads, as rerun's own class does."""
        native = self.native
        if not native.is_forked_child():
            self._flush(timeout_sec=0.0, recording=native)
            del self.native, native
            self._disconnect_orphans()


def _batcher_config() -> Any:
    """Return a configuration with which an idle stream's thread sleeps.

    By default it looks five times a second for single rows to make a chunk of. The collector sends whole chunks, which
    the thread hands on at once.
    """
    return bindings.ChunkBatcherConfig(flush_tick=BATCHER_SECS)


def _try_a_chunk() -> None:
    """Make a chunk as for every row.

    Raises
    ------
    ImportError
        If this release of rerun-sdk makes another one of it.
    """
    from rerun_mp.collector.drain.own_chunks import start_time_chunk

    batch = start_time_chunk(RecordingKey("rerun_mp", "try"), 1).batch
    (made,) = chunks_of_batch(batch)
    if made.to_record_batch().column(0).to_pylist() != batch.column(0).to_pylist():
        raise ImportError("rerun-sdk gives rows other ids than those that they had")


def chunks_of_batch(batch: Any) -> list[Chunk]:
    """Return the chunks that rerun-sdk makes of a record batch with row ids and a chunk id: one, with the same ids."""
    return _make_chunks(batch)


def chunks_in(path: str) -> Iterator[Chunk]:
    """Yield the chunks of all recordings in the .rrd file at `path`."""
    with _quiet():
        reader = RrdReaderInternal(path)
        stores = [store for store in reader.store_entries() if store.kind == "recording"]
    for store in stores:
        yield from reader.stream(store=store)


def store_blueprint(application_id: str, path: str) -> Any:
    """Return the one blueprint in the .rrd file at `path` as the storage that sinks take.

    Raises
    ------
    ValueError
        If the file holds none, or several.
    """
    with _quiet():
        reader = RrdReaderInternal(path)
        stores = [store for store in reader.store_entries() if store.kind == "blueprint"]
    if len(stores) != 1:
        raise ValueError(f"the default blueprint holds {len(stores)} blueprints instead of one")
    stream = Stream(
        bindings.new_blueprint(application_id=application_id, make_default=False, make_thread_default=False)
    )
    storage = bindings.memory_recording(recording=stream.native)
    reader.stream(store=stores[0]).send_to_recording(stream.native)
    return storage


class _StandIn(ModuleType):
    """Replaces the module `rerun` while a reader opens a file in a collector.

    The reader warns of a file without a footer, and looks up the class of that warning in `rerun.error_utils`. The
    warning is suppressed. Loading rerun for its class would take 0.5 s, and fail when no descriptors are left.
    """

    class error_utils:  # noqa: N801 (rerun's name)
        """Replaces `rerun.error_utils`."""

        class RerunWarning(UserWarning):
            """Replaces rerun's class of warnings."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress rerun's warning that a file has no footer yet: the files read here never have one."""
    with _quiet_lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RRD file has no footer")
        if "rerun" in sys.modules or not imports.leaves_rerun_alone:
            yield
            return
        # Nothing in a collector imports rerun, so nothing else can find the stand-in.
        sys.modules["rerun"] = _StandIn("rerun")
        try:
            yield
        finally:
            del sys.modules["rerun"]


def _unregister_shutdown(rerun: ModuleType) -> None:
    atexit.unregister(rerun.rerun_shutdown)


# At exit, rerun would wait for every stream, for ever if one hangs. The collector closes its streams one by one.
imports.when_loaded("rerun", _unregister_shutdown)

if versions.is_unknown():
    try:
        _try_a_chunk()
    except Exception as error:
        raise ImportError(
            f"rerun-sdk {versions.installed()} is newer than this rerun_mp knows, and its chunks are others "
            f"({error!r}); install a newer rerun_mp, or rerun-sdk<{versions.NEXT}"
        ) from error
