"""Calls that log a row or choose a sink, as rerun-sdk had them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.api import log as rows
from rerun_mp.api import routing
from rerun_mp.compat.old.warning import warn_of_old_name
from rerun_mp.viewers import web_server

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rerun import RecordingStream
    from rerun.blueprint import BlueprintLike

__all__ = ["connect", "log_components", "serve", "show"]


def log_components(
    entity_path: str | list[object],
    components: Iterable[Any],
    *,
    num_instances: int | None = None,  # noqa: ARG001 (rerun's signature)
    timeless: bool = False,
    static: bool = False,
    recording: RecordingStream | None = None,
    strict: bool | None = None,
) -> None:
    """Log one row of component batches. In rerun-sdk until 0.22."""
    warn_of_old_name("log_components()", "log(entity_path, components)")
    described = [_described(one) for one in components]
    rows.log(entity_path, described, static=static or timeless, recording=recording, strict=strict)


def _described(batch: Any) -> Any:
    if not hasattr(batch, "described"):
        return batch
    from rerun import ComponentDescriptor

    kind = str(batch.component_type())
    return batch.described(ComponentDescriptor(kind.rpartition(".")[2], component_type=kind))


def connect(
    addr: str | None = None,
    *,
    flush_timeout_sec: float | None = 2.0,  # noqa: ARG001 (rerun's signature)
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
) -> None:
    """Send a recording to the viewer at a "host:port". In rerun-sdk until 0.22, also as `connect_tcp`."""
    warn_of_old_name("connect()", "connect_grpc()")
    url = addr if addr is None or "://" in addr else f"rerun+http://{addr}/proxy"
    routing.connect_grpc(url, default_blueprint=default_blueprint, recording=recording)


def show(*, default_blueprint: BlueprintLike | None = None, recording: RecordingStream | None = None) -> None:
    """Start a viewer and send the recording to it. In rerun-sdk until 0.8."""
    warn_of_old_name("show()", "spawn()")
    routing.spawn(default_blueprint=default_blueprint, recording=recording)


def serve(
    *,
    open_browser: bool = True,
    web_port: int | None = None,
    ws_port: int | None = None,
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
    server_memory_limit: str = "25%",
) -> None:
    """Serve a recording, and a web viewer that shows it. In rerun-sdk until 0.22, also as `serve_web`."""
    import rerun

    warn_of_old_name("serve()", "serve_web_viewer(connect_to=serve_grpc())")
    options: Any = {"recording": recording}
    uri = rerun.serve_grpc(
        grpc_port=ws_port, default_blueprint=default_blueprint, server_memory_limit=server_memory_limit, **options
    )
    web_server.serve_web_viewer(web_port=web_port, open_browser=open_browser, connect_to=uri)
