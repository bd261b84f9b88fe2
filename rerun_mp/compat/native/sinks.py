"""Replacements for rerun's native functions about sinks and viewers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.api import routing, sink_setting
from rerun_mp.api.active import active_state, is_left_to_rerun
from rerun_mp.api.readback import BinaryStorage, CallbackSink, MemoryStorage
from rerun_mp.api.sinks import FileSink, GrpcServerSink, GrpcSink
from rerun_mp.compat.native.registry import enabled_state, goes_to_rerun, originals, replacement, replaces
from rerun_mp.errors import ResourceError
from rerun_mp.viewers import web_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rerun import RecordingStream

__all__ = ["spawn"]


def spawn(*, recording: Any = None, **options: Any) -> None:
    """Start a viewer: for our recordings as `rerun_mp.spawn` does, for rerun's own as rerun does."""
    if is_left_to_rerun(recording):
        originals["_spawn"](recording=recording, **options)
    else:
        routing.spawn(recording=recording, **options)


@replaces
def connect_grpc(url: str | None, default_blueprint: Any = None, recording: RecordingStream | None = None) -> None:
    sink_setting.replace_sinks_for_rerun(recording, (GrpcSink(url),), default_blueprint)


@replaces
def save(
    path: str, default_blueprint: Any = None, recording: RecordingStream | None = None, *, write_footer: bool = True
) -> None:
    sink_setting.replace_sinks_for_rerun(recording, (FileSink(path, write_footer=write_footer),), default_blueprint)


@replaces
def disconnect(recording: RecordingStream | None = None) -> None:
    routing.disconnect(recording)


@replaces
def finalize_deferred_sinks(recording: RecordingStream | None = None) -> None:
    state = active_state(recording)
    if state is not None:
        sink_setting.complete_files(state)


@replaces
def stdout(
    default_blueprint: Any = None, recording: RecordingStream | None = None, *, write_footer: bool = True
) -> None:
    sink_setting.write_to_stdout(recording, default_blueprint, write_footer=write_footer)


@replaces
def memory_recording(recording: RecordingStream | None = None) -> MemoryStorage:
    return MemoryStorage(enabled_state(recording))


@replaces
def binary_stream(recording: RecordingStream | None = None) -> BinaryStorage:
    return BinaryStorage(enabled_state(recording))


@replaces
def set_callback_sink(callback: Callable[[bytes], Any], recording: RecordingStream | None = None) -> None:
    CallbackSink(enabled_state(recording), callback)


@replaces
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
    sink_setting.replace_sinks_for_rerun(recording, (sink,), default_blueprint)
    return sink.uri


@replacement
def serve_web_viewer(
    web_port: int | None = None,
    open_browser: bool = True,
    connect_to: str | None = None,
    assets_archive_path: str | None = None,
) -> None:
    """Serve the web viewer: by our server if a recording of ours is active, else by rerun's."""
    if active_state() is None:
        # Releases before 0.36 take no archive.
        archive = () if assets_archive_path is None else (assets_archive_path,)
        originals["serve_web_viewer"](web_port, open_browser, connect_to, *archive)
    else:
        web_server.serve_web_viewer(web_port=web_port, open_browser=open_browser, connect_to=connect_to)


@replacement
def start_web_viewer_server(port: int, assets_archive_path: str | None = None) -> None:
    """Divide calls as `serve_web_viewer` does."""
    if active_state() is None:
        originals["start_web_viewer_server"](port, *(() if assets_archive_path is None else (assets_archive_path,)))
    else:
        web_server.start_web_viewer_server(port)


@replacement
def get_app_url() -> str:
    """Return where notebooks find the web viewer."""
    return web_server.app_url(originals["get_app_url"])


@replacement
def flush(*, timeout_sec: float = 1e38, recording: Any = None) -> None:
    if goes_to_rerun(recording):
        originals["flush"](timeout_sec=timeout_sec, recording=recording)
    else:
        routing.flush(timeout_sec, recording=recording)


@replacement
def set_sinks(sinks: Iterable[Any], default_blueprint: Any = None, recording: Any = None) -> None:
    """Set the sinks of a recording. For rerun's own recordings, our sinks become rerun's."""
    if goes_to_rerun(recording):
        sinks = [_native_sink(sink) for sink in sinks]
        originals["set_sinks"](sinks, default_blueprint=default_blueprint, recording=recording)
    else:
        sink_setting.replace_sinks_for_rerun(recording, tuple(sinks), default_blueprint)


def _native_sink(sink: Any) -> Any:
    import rerun_bindings

    if isinstance(sink, FileSink):
        return rerun_bindings.FileSink(sink.path, write_footer=sink.write_footer)
    if isinstance(sink, GrpcServerSink):
        if not hasattr(rerun_bindings, "GrpcServerSink"):
            raise ResourceError("rerun-sdk before 0.36 has no GrpcServerSink; use serve_grpc, or a newer rerun-sdk")
        return rerun_bindings.GrpcServerSink(
            sink.bind_ip,
            sink.port,
            server_memory_limit=sink.server_memory_limit,
            newest_first=sink.newest_first,
            cors_allow_origin=sink.cors_allow_origin,
        )
    return rerun_bindings.GrpcSink(sink.url) if isinstance(sink, GrpcSink) else sink
