"""The bridge: what still says `import rerun` logs into the session's recordings.

Users change the import line of one file; libraries and other modules go on saying `rerun.log`, `rerun.set_time`,
`rerun.LoggingHandler`. All of rerun's Python code reaches its native part through functions of `rerun_bindings`, which
it looks up at each call. Once rerun is loaded, those of them that concern a recording are replaced by the functions
below: a call that names no recording, or one of ours, comes here; a call that names one of rerun's own is left to
rerun, and so is every call in a process that has no recording of ours.

So this is also how rerun's own functions serve us: `rr.send_property` and whatever else `rerun_mp` takes from rerun run
rerun's code on our recordings. What rerun's code does in Python (checking arguments, making components, warning) is
rerun's still.

Pinned to the versions of rerun-sdk in `VERSIONS`; tests/compat/test_bridge.py compares every name and signature.
Nothing here loads rerun. The collector, which writes by rerun's own recordings, does without.
"""

from __future__ import annotations

import functools
import operator
import os
import sys
from typing import TYPE_CHECKING, Any

from rerun_mp.api import init as opening
from rerun_mp.api import log as rows
from rerun_mp.api import recording, routing, selection
from rerun_mp.api import set_time as clock
from rerun_mp.api.active import active_state, is_left_to_rerun
from rerun_mp.api.readback import BinaryStorage, CallbackSink, MemoryStorage
from rerun_mp.errors import RerunMpError
from rerun_mp.hooks import when_loaded as imports
from rerun_mp.hooks.when_loaded import when_loaded
from rerun_mp.session import current, sink_changes
from rerun_mp.sinks import FileSink, GrpcServerSink, GrpcSink
from rerun_mp.viewers import web_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from rerun_mp.api.recording import RecordingStream
    from rerun_mp.api.state import RecordingState

__all__ = ["VERSIONS", "capture", "install"]

VERSIONS = ("0.41.",)
"""Beginnings of the versions of rerun-sdk whose native functions are those that are replaced here."""

PROPERTIES = "/__properties"

_ours: dict[str, Callable[..., Any]] = {}
"""What replaces rerun's functions, by name."""
_native: dict[str, Callable[..., Any]] = {}
"""Rerun's own, by name; empty as long as nothing has been replaced."""


def install() -> None:
    """Bridge rerun as soon as it is loaded.

    Raises
    ------
    RerunMpError
        When it is loaded, if it is a version that this one does not know.
    """
    when_loaded("rerun", _replace)
    when_loaded("rerun.server", _deliver_before_serving)
    recording.find_old_methods_with(_old_method)


def _old_method(name: str) -> Callable[..., Any] | None:
    # Loaded only for a program that uses an old name.
    from rerun_mp.compat import legacy

    return legacy.NAMES[name] if name in legacy.METHODS else None


def capture() -> None:
    """Have the recordings that rerun's own code makes be ours, too: for programs that know nothing of us."""
    _ours["new_recording"] = _new_recording


def _new_recording(
    application_id: str,
    recording_id: str | None = None,
    make_default: bool = True,
    make_thread_default: bool = True,
    default_enabled: bool = True,
    send_properties: bool = True,
    batcher_config: Any = None,
) -> RecordingStream:
    return recording.RecordingStream(
        application_id,
        recording_id=recording_id,
        make_default=make_default,
        make_thread_default=make_thread_default,
        default_enabled=default_enabled,
        send_properties=send_properties,
        batcher_config=batcher_config,
    )


def _replace(rerun: ModuleType) -> None:
    if imports.leaves_rerun_alone or _native:
        return
    found = str(rerun.__version__)
    if not found.startswith(VERSIONS):
        raise RerunMpError(
            f"this version of rerun_mp works with rerun-sdk {', '.join(f'{v}*' for v in VERSIONS)}, not with {found}; "
            "install a matching one (pip install 'rerun-sdk==0.41.*'), or a newer rerun_mp"
        )
    bindings = sys.modules["rerun_bindings"]
    _native["new_recording"] = bindings.new_recording
    for name, function in _ours.items():
        _native[name] = getattr(bindings, name)
        setattr(bindings, name, function)
    # Of rerun's Python code: where it decides what only we can know, and where its objects hide what they were given.
    _native["_send_chunks"] = rerun.send_chunks
    for module in (rerun, sys.modules["rerun._send_chunks"]):
        module.send_chunks = send_chunks  # type: ignore[attr-defined]
    rerun.RecordingStream.send_chunks = lambda self, chunks: send_chunks(chunks, recording=self)
    _native["_spawn"] = rerun.spawn
    for module in (rerun, sys.modules["rerun.sinks"]):
        module.spawn = spawn  # type: ignore[attr-defined]
    rerun.RecordingStream.spawn = lambda self, **options: spawn(recording=self, **options)
    rerun.init = opening.init  # type: ignore[attr-defined]
    for kind in (FileSink, GrpcServerSink, GrpcSink):
        setattr(rerun, kind.__name__, kind)


def _deliver_before_serving(server: ModuleType) -> None:
    """Have a server that reads files find in them what has been logged, although a collector has to begin before."""
    theirs = server.Server.__init__

    @functools.wraps(theirs)
    def begin(self: Any, *args: Any, **kwargs: Any) -> None:
        joined = current.session()
        if joined is not None:
            sink_changes.deliver(joined, joined.settings.exit_timeout)
        theirs(self, *args, **kwargs)

    server.Server.__init__ = begin


def bridged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate what replaces rerun's function of the same name for our recordings."""
    name = function.__name__
    position = function.__code__.co_varnames.index("recording")

    @functools.wraps(function)
    def bridge(*args: Any, **kwargs: Any) -> Any:
        recording = args[position] if len(args) > position else kwargs.get("recording")
        if _is_native(recording) or (recording is None and active_state() is None):
            return _native[name](*args, **kwargs)
        return function(*args, **kwargs)

    _ours[name] = bridge
    return bridge


def _is_native(recording: object) -> bool:
    return recording is not None and not hasattr(recording, "state")


# ---- which recording -----------------------------------------------------------------------------------------------


@bridged
def get_application_id(recording: RecordingStream | None = None) -> str | None:
    return selection.get_application_id(recording)


@bridged
def get_recording_id(recording: RecordingStream | None = None) -> str | None:
    return selection.get_recording_id(recording)


@bridged
def is_enabled(recording: RecordingStream | None = None) -> bool:
    return selection.is_enabled(recording)


@bridged
def get_data_recording(recording: RecordingStream | None = None) -> RecordingStream | None:
    return selection.get_data_recording(recording)


@bridged
def set_global_data_recording(recording: RecordingStream | None = None) -> RecordingStream | None:
    return selection.set_global_data_recording(recording)


@bridged
def set_thread_local_data_recording(recording: RecordingStream | None = None) -> RecordingStream | None:
    return selection.set_thread_local_data_recording(recording)


def _unless_none(name: str, ours: Callable[[], Any]) -> None:
    def bridge() -> Any:
        return ours() or _native[name]()

    _ours[name] = bridge


_unless_none("get_global_data_recording", selection.get_global_data_recording)
_unless_none("get_thread_local_data_recording", selection.get_thread_local_data_recording)


# ---- times ---------------------------------------------------------------------------------------------------------


@bridged
def set_time_sequence(timeline: str, sequence: int, recording: RecordingStream | None = None) -> None:
    clock.set_time(timeline, sequence=sequence, recording=recording)


@bridged
def set_time_duration_nanos(timeline: str, nanos: int, recording: RecordingStream | None = None) -> None:
    clock.set_nanos(timeline, nanos, is_timestamp=False, recording=recording)


@bridged
def set_time_timestamp_nanos_since_epoch(timeline: str, nanos: int, recording: RecordingStream | None = None) -> None:
    clock.set_nanos(timeline, nanos, is_timestamp=True, recording=recording)


@bridged
def disable_timeline(timeline: str, recording: RecordingStream | None = None) -> None:
    clock.disable_timeline(timeline, recording)


@bridged
def reset_time(recording: RecordingStream | None = None) -> None:
    clock.reset_time(recording)


@bridged
def set_log_tick_enabled(enabled: bool, recording: RecordingStream | None = None) -> None:
    clock.set_log_tick_enabled(enabled, recording)


@bridged
def set_log_time_enabled(enabled: bool, recording: RecordingStream | None = None) -> None:
    clock.set_log_time_enabled(enabled, recording)


# ---- rows ----------------------------------------------------------------------------------------------------------


@bridged
def log_arrow_msg(
    entity_path: str, components: dict[Any, Any], static_: bool, recording: RecordingStream | None = None
) -> None:
    state = _state_of(recording)
    rows.append_components(state, entity_path, list(components), list(components.values()), static=static_)


@bridged
def send_arrow_chunk(
    entity_path: str,
    timelines: dict[str, Any],
    components: dict[Any, Any],
    recording: RecordingStream | None = None,
) -> None:
    state = _state_of(recording)
    rows.append_columns(
        state, entity_path, rows.checked_times(timelines.items()), list(components), list(components.values())
    )


def send_chunks(chunks: Any, *, recording: Any = None) -> None:
    """Send chunks to a recording, as `rerun.send_chunks`.

    They keep their rows; as in rerun their ids become the recording's own, and so do application and recording id.

    Parameters
    ----------
    chunks
        A `Chunk`, an iterable of them, a `LazyChunkStream`, a `LazyStore` or a `ChunkStore`.
    recording
        By default the active one.

    Raises
    ------
    TypeError
        If there is anything but chunks.
    """
    if is_left_to_rerun(recording):
        _native["_send_chunks"](chunks, recording=recording)
        return
    from rerun.chunk import Chunk

    state = active_state(recording)
    if state is None:
        return
    if isinstance(chunks, Chunk):
        chunks = [chunks]
    elif hasattr(chunks, "stream"):
        chunks = chunks.stream()
    for chunk in chunks:
        if not isinstance(chunk, Chunk):
            raise TypeError(f"send_chunks expects Chunk objects in the iterable, got {type(chunk).__name__!r}")
        _append_chunk(state, chunk.entity_path, chunk.to_record_batch())


@bridged
def send_recording_name(name: str, recording: RecordingStream | None = None) -> None:
    if not isinstance(name, str):
        raise TypeError(f"argument 'name': '{type(name).__name__}' object is not an instance of 'str'")
    _send_info(recording, name=name)


@bridged
def send_recording_start_time_nanos(nanos: int, recording: RecordingStream | None = None) -> None:
    _send_info(recording, start_time=operator.index(nanos))


@bridged
def send_blueprint(
    blueprint: Any, make_active: bool = False, make_default: bool = True, recording: RecordingStream | None = None
) -> None:
    routing.send_blueprint(recording, blueprint, make_active=make_active, make_default=make_default)


@bridged
def log_file_from_path(
    file_path: str | os.PathLike[str],
    entity_path_prefix: str | None = None,
    static_: bool = False,
    recording: RecordingStream | None = None,
) -> None:
    _import(recording, "log_file_from_path", file_path, entity_path_prefix=entity_path_prefix, static_=static_)


@bridged
def log_file_from_contents(
    file_path: str | os.PathLike[str],
    file_contents: bytes,
    entity_path_prefix: str | None = None,
    static_: bool = False,
    recording: RecordingStream | None = None,
) -> None:
    options: dict[str, Any] = {"entity_path_prefix": entity_path_prefix, "static_": static_}
    _import(recording, "log_file_from_contents", file_path, file_contents, **options)


def _import(recording: RecordingStream | None, how: str, *args: Any, **kwargs: Any) -> None:
    """Let rerun's importers read a file into a recording of rerun's own, and log what they have found."""
    from tempfile import TemporaryDirectory

    from rerun.chunk import RrdReader

    state = _state_of(recording)
    native = _native["new_recording"](
        *state.key, make_default=False, make_thread_default=False, default_enabled=True, send_properties=False
    )
    with TemporaryDirectory(prefix="rerun_mp-import-") as directory:
        path = os.path.join(directory, "imported.rrd")
        _native["save"](path, recording=native)
        try:
            _native[how](*args, **kwargs, recording=native)
            # Importers go on in threads of theirs; flushing waits for them.
            _native["flush"](recording=native)
        finally:
            _native["disconnect"](recording=native)
        reader = RrdReader(path)
        for store in reader.recordings():
            send_chunks(reader.stream(store=store), recording=recording)


def _state_of(recording: RecordingStream | None) -> RecordingState:
    state = active_state(recording)
    if state is None:
        raise RuntimeError("this recording is disabled")
    return state


def _send_info(recording: RecordingStream | None, **info: Any) -> None:
    from rerun.archetypes import RecordingInfo

    rows.log(PROPERTIES, RecordingInfo.from_fields(**info), static=True, recording=recording)


def _append_chunk(state: RecordingState, entity_path: str, batch: Any) -> None:
    from rerun import ComponentDescriptor

    times: dict[str, Any] = {}
    descriptors: list[Any] = []
    arrays: list[Any] = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        kind = metadata.get("rerun:kind")
        if kind == "index":
            times[metadata.get("rerun:index_name", field.name)] = column
        elif kind == "data":
            descriptors.append(
                ComponentDescriptor(
                    metadata.get("rerun:component", field.name),
                    archetype=metadata.get("rerun:archetype"),
                    component_type=metadata.get("rerun:component_type"),
                )
            )
            arrays.append(column)
    rows.append_columns(state, entity_path, rows.checked_times(times.items()), descriptors, arrays)


# ---- sinks ---------------------------------------------------------------------------------------------------------


def spawn(*, recording: Any = None, **options: Any) -> None:
    """Start a viewer for one of our recordings as `rerun_mp.spawn` does, or for one of rerun's own as rerun does."""
    if is_left_to_rerun(recording):
        _native["_spawn"](recording=recording, **options)
    else:
        routing.spawn(recording=recording, **options)


@bridged
def connect_grpc(url: str | None, default_blueprint: Any = None, recording: RecordingStream | None = None) -> None:
    routing.replace_sinks(recording, (GrpcSink(url),), default_blueprint)


@bridged
def save(
    path: str, default_blueprint: Any = None, recording: RecordingStream | None = None, *, write_footer: bool = True
) -> None:
    routing.replace_sinks(recording, (FileSink(path, write_footer=write_footer),), default_blueprint)


@bridged
def disconnect(recording: RecordingStream | None = None) -> None:
    routing.disconnect(recording)


@bridged
def finalize_deferred_sinks(recording: RecordingStream | None = None) -> None:
    state = active_state(recording)
    if state is not None:
        routing.finalize_files(state)


@bridged
def stdout(
    default_blueprint: Any = None, recording: RecordingStream | None = None, *, write_footer: bool = True
) -> None:
    routing.stdout(recording, default_blueprint, write_footer=write_footer)


@bridged
def memory_recording(recording: RecordingStream | None = None) -> MemoryStorage:
    return MemoryStorage(_state_of(recording))


@bridged
def binary_stream(recording: RecordingStream | None = None) -> BinaryStorage:
    return BinaryStorage(_state_of(recording))


@bridged
def set_callback_sink(callback: Callable[[bytes], Any], recording: RecordingStream | None = None) -> None:
    CallbackSink(_state_of(recording), callback)


@bridged
def serve_grpc(
    grpc_port: int | None,
    server_memory_limit: str,
    newest_first: bool = False,
    default_blueprint: Any = None,
    recording: RecordingStream | None = None,
    cors_allow_origin: Iterable[str] = (),
) -> str:
    sink = GrpcServerSink(
        port=9876 if grpc_port is None else grpc_port,
        server_memory_limit=server_memory_limit,
        newest_first=newest_first,
        cors_allow_origin=list(cors_allow_origin),
    )
    routing.replace_sinks(recording, (sink,), default_blueprint)
    return sink.uri


def serve_web_viewer(
    web_port: int | None = None,
    open_browser: bool = True,
    connect_to: str | None = None,
    assets_archive_path: str | None = None,
) -> None:
    """Serve the web viewer: as this package does it where there is a recording of ours."""
    if active_state() is None:
        _native["serve_web_viewer"](web_port, open_browser, connect_to, assets_archive_path)
    else:
        web_server.serve_web_viewer(web_port=web_port, open_browser=open_browser, connect_to=connect_to)


def start_web_viewer_server(port: int, assets_archive_path: str | None = None) -> None:
    """As `serve_web_viewer`."""
    if active_state() is None:
        _native["start_web_viewer_server"](port, assets_archive_path)
    else:
        web_server.start_web_viewer_server(port)


def get_app_url() -> str:
    """Return where notebooks find the web viewer."""
    return web_server.app_url(_native["get_app_url"])


_ours |= {function.__name__: function for function in (serve_web_viewer, start_web_viewer_server, get_app_url)}


def flush(*, timeout_sec: float = 1e38, recording: Any = None) -> None:
    """Flush one of our recordings, or one of rerun's own."""
    if _is_native(recording) or (recording is None and active_state() is None):
        _native["flush"](timeout_sec=timeout_sec, recording=recording)
    else:
        routing.flush(timeout_sec, recording=recording)


_ours["flush"] = flush


def set_sinks(sinks: Iterable[Any], default_blueprint: Any = None, recording: Any = None) -> None:
    """Set the sinks of one of our recordings, or of one of rerun's own, for which ours become rerun's."""
    if _is_native(recording) or (recording is None and active_state() is None):
        sinks = [_native_sink(sink) for sink in sinks]
        _native["set_sinks"](sinks, default_blueprint=default_blueprint, recording=recording)
    else:
        routing.replace_sinks(recording, tuple(sinks), default_blueprint)


_ours["set_sinks"] = set_sinks


def _native_sink(sink: Any) -> Any:
    import rerun_bindings

    if isinstance(sink, FileSink):
        return rerun_bindings.FileSink(sink.path, write_footer=sink.write_footer)
    if isinstance(sink, GrpcServerSink):
        return rerun_bindings.GrpcServerSink(
            sink.bind_ip,
            sink.port,
            server_memory_limit=sink.server_memory_limit,
            newest_first=sink.newest_first,
            cors_allow_origin=sink.cors_allow_origin,
        )
    return rerun_bindings.GrpcSink(sink.url) if isinstance(sink, GrpcSink) else sink
