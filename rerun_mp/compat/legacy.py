"""Names that rerun-sdk had from 0.12 to 0.22, or before, and has dropped since.

They do what the versions that dropped them said to do instead, and say so in a `DeprecationWarning` at the line that
calls them. What has no successor that would take its arguments raises an `AttributeError` that names the way to go.
tests/compat/test_legacy.py has the list of all of them, made from those versions.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from rerun_mp.api import log as rows
from rerun_mp.api import routing
from rerun_mp.api import set_time as clock
from rerun_mp.viewers import web_server

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import IO

    from rerun import Scalars, SeriesLines, SeriesPoints, TimeColumn
    from rerun.blueprint import BlueprintLike

    from rerun_mp.api.recording import RecordingStream

__all__ = ["ADVICE", "METHODS", "MODULES", "NAMES", "find"]


def find(name: str) -> Any:
    """Return what stands for a name that rerun no longer has.

    Raises
    ------
    AttributeError
        If it never had it, or nothing can stand for it.
    """
    if name in NAMES:
        return NAMES[name]
    import rerun

    if name == "datatypes":
        # Rerun's own way to it does not end in 0.41: it asks itself.
        from importlib import import_module

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = import_module("rerun.datatypes")
        _warn("rerun_mp.datatypes", "rerun_mp.encodings", level=4)
        return module
    if name == "UUID":
        from uuid import UUID

        return UUID
    if name == "BlueprintLike":
        from rerun.blueprint import BlueprintLike

        return BlueprintLike
    if name in MODULES:
        return sys.modules[getattr(rerun, MODULES[name]).__module__]
    if name in ADVICE:
        raise AttributeError(f"module 'rerun_mp' has no attribute {name!r}: rerun-sdk has dropped it; {ADVICE[name]}")
    raise AttributeError(f"module 'rerun_mp' has no attribute {name!r}, nor has 'rerun'")


def _warn(old: str, new: str, *, level: int = 3) -> None:
    warnings.warn(f"{old} is deprecated, rerun-sdk has dropped it; use {new}", DeprecationWarning, stacklevel=level)


# ---- times ---------------------------------------------------------------------------------------------------------


def set_time_sequence(timeline: str, sequence: int, recording: RecordingStream | None = None) -> None:
    """Set the time of a timeline of numbers. Until 0.23."""
    _warn("set_time_sequence()", "set_time(timeline, sequence=...)")
    clock.set_time(timeline, sequence=sequence, recording=recording)


def set_time_seconds(timeline: str, seconds: float, recording: RecordingStream | None = None) -> None:
    """Set the time of a timeline in seconds since the epoch. Until 0.23."""
    _warn("set_time_seconds()", "set_time(timeline, timestamp=seconds) or set_time(timeline, duration=seconds)")
    clock.set_nanos(timeline, int(seconds * 1e9), is_timestamp=True, recording=recording)


def set_time_nanos(timeline: str, nanos: int, recording: RecordingStream | None = None) -> None:
    """Set the time of a timeline in nanoseconds since the epoch. Until 0.23."""
    _warn("set_time_nanos()", "set_time(timeline, timestamp=1e-9 * nanos) or set_time(timeline, duration=1e-9 * nanos)")
    clock.set_nanos(timeline, int(nanos), is_timestamp=True, recording=recording)


def time_sequence_column(timeline: str, times: Iterable[int]) -> TimeColumn:
    """Return a column of numbers. Until 0.23, as `TimeSequenceColumn`."""
    from rerun import TimeColumn

    _warn("TimeSequenceColumn", "TimeColumn(timeline, sequence=...)")
    return TimeColumn(timeline, sequence=times)


def time_seconds_column(timeline: str, times: Iterable[float]) -> TimeColumn:
    """Return a column of seconds since the epoch. Until 0.23, as `TimeSecondsColumn`."""
    from rerun import TimeColumn

    _warn("TimeSecondsColumn", "TimeColumn(timeline, timestamp=...) or TimeColumn(timeline, duration=...)")
    return TimeColumn(timeline, timestamp=times)


def time_nanos_column(timeline: str, times: Iterable[int]) -> TimeColumn:
    """Return a column of nanoseconds since the epoch. Until 0.23, as `TimeNanosColumn`."""
    import numpy as np
    from rerun import TimeColumn

    _warn("TimeNanosColumn", "TimeColumn(timeline, timestamp=...) or TimeColumn(timeline, duration=...)")
    return TimeColumn(timeline, timestamp=np.asarray(list(times), dtype="datetime64[ns]"))


# ---- rows ----------------------------------------------------------------------------------------------------------


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
    """Log one row of component batches. Until 0.22."""
    _warn("log_components()", "log(entity_path, components)")
    described = [_described(one) for one in components]
    rows.log(entity_path, described, static=static or timeless, recording=recording, strict=strict)


def _described(batch: Any) -> Any:
    if not hasattr(batch, "described"):
        return batch
    from rerun import ComponentDescriptor

    kind = str(batch.component_type())
    return batch.described(ComponentDescriptor(kind.rpartition(".")[2], component_type=kind))


class Scalar:
    """Stands for `Scalars` of one number. Until 0.22."""

    def __new__(cls, scalar: float) -> Scalars:  # type: ignore[misc]
        from rerun import Scalars

        _warn("Scalar", "Scalars")
        return Scalars(scalar)

    @classmethod
    def columns(cls, *, scalar: Any = None) -> Any:
        """Return columns, as `Scalars.columns`."""
        from rerun import Scalars

        _warn("Scalar", "Scalars")
        return Scalars.columns(scalars=scalar)


def series_line(
    *, color: Any = None, width: Any = None, name: Any = None, aggregation_policy: Any = None
) -> SeriesLines:
    """Return `SeriesLines` of one series. Until 0.22, as `SeriesLine`."""
    from rerun import SeriesLines

    _warn("SeriesLine", "SeriesLines")
    return SeriesLines(colors=color, widths=width, names=name, aggregation_policy=aggregation_policy)


def series_point(*, color: Any = None, marker: Any = None, name: Any = None, marker_size: Any = None) -> SeriesPoints:
    """Return `SeriesPoints` of one series. Until 0.22, as `SeriesPoint`."""
    from rerun import SeriesPoints

    _warn("SeriesPoint", "SeriesPoints")
    return SeriesPoints(colors=color, markers=marker, names=name, marker_sizes=marker_size)


def time_series_scalar(
    scalar: float, *, radius: Any = None, color: Any = None, label: Any = None, scattered: bool | None = None
) -> list[Any]:
    """Return a number and how its series looks. Until 0.14, as `TimeSeriesScalar`."""
    import rerun

    _warn("TimeSeriesScalar", "Scalars, and SeriesLines or SeriesPoints once")
    style: Any
    if scattered:
        style = rerun.SeriesPoints(colors=color, names=label, marker_sizes=radius)
    else:
        style = rerun.SeriesLines(colors=color, names=label, widths=None if radius is None else 2 * radius)
    return [*rerun.Scalars(scalar).as_component_batches(), *style.as_component_batches()]


def disconnected_space(is_disconnected: bool = True) -> Any:
    """Return a transform that leads nowhere. Until 0.21, as `DisconnectedSpace`."""
    import rerun

    _warn("DisconnectedSpace", "Transform3D(mat3x3=[0.0] * 9)")
    return rerun.Transform3D(mat3x3=[0.0] * 9) if is_disconnected else rerun.Transform3D()


class ImageFormat:
    """The format of an `ImageEncoded`: of a file, or of raw pixels of a (height, width). Until 0.22."""

    BMP: ImageFormat
    GIF: ImageFormat
    JPEG: ImageFormat
    PNG: ImageFormat
    TIFF: ImageFormat

    def __init__(self, name: str, size_hint: tuple[int, int] | None = None) -> None:
        self.name = name
        self.size_hint = size_hint

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def NV12(size_hint: tuple[int, int]) -> ImageFormat:  # noqa: N802 (rerun's name)
        """Return the format of raw NV12 pixels."""
        return ImageFormat("NV12", size_hint)

    @staticmethod
    def YUY2(size_hint: tuple[int, int]) -> ImageFormat:  # noqa: N802 (rerun's name)
        """Return the format of raw YUY2 pixels."""
        return ImageFormat("YUY2", size_hint)


for _name in ("BMP", "GIF", "JPEG", "PNG", "TIFF"):
    setattr(ImageFormat, _name, ImageFormat(_name))


def image_encoded(
    *,
    path: str | os.PathLike[str] | None = None,
    contents: bytes | IO[bytes] | None = None,
    format: ImageFormat | None = None,  # noqa: A002 (rerun's name)
    draw_order: float | None = None,
) -> Any:
    """Return an `EncodedImage`, or an `Image` of raw pixels. Until 0.22, as `ImageEncoded`."""
    import rerun

    _warn("ImageEncoded", "EncodedImage, or Image for NV12 and YUY2")
    if (path is None) == (contents is None):
        raise ValueError("Must provide exactly one of 'path' or 'contents'")
    if format is not None and format.size_hint is not None:
        if path is not None:
            with open(path, "rb") as file:
                pixels = file.read()
        else:
            pixels = contents if isinstance(contents, bytes) else contents.read()  # type: ignore[union-attr]
        height, width = format.size_hint
        options: Any = {"pixel_format": format.name, "draw_order": draw_order}
        return rerun.Image(bytes=pixels, width=width, height=height, **options)
    media_type = None if format is None else f"image/{format.name.lower()}"
    source: Any = {"contents": contents} if path is None else {"path": path}
    return rerun.EncodedImage(**source, media_type=media_type, draw_order=draw_order)


# ---- sinks ---------------------------------------------------------------------------------------------------------


def connect(
    addr: str | None = None,
    *,
    flush_timeout_sec: float | None = 2.0,  # noqa: ARG001 (rerun's signature)
    default_blueprint: BlueprintLike | None = None,
    recording: RecordingStream | None = None,
) -> None:
    """Send a recording to the viewer at a "host:port". Until 0.22, also as `connect_tcp`."""
    _warn("connect()", "connect_grpc()")
    url = addr if addr is None or "://" in addr else f"rerun+http://{addr}/proxy"
    routing.connect_grpc(url, default_blueprint=default_blueprint, recording=recording)


def show(*, default_blueprint: BlueprintLike | None = None, recording: RecordingStream | None = None) -> None:
    """Start a viewer and show what has been logged, and will be. Until 0.8."""
    _warn("show()", "spawn()")
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
    """Serve a recording, and the web viewer that shows it. Until 0.22, also as `serve_web`."""
    import rerun

    _warn("serve()", "serve_web_viewer(connect_to=serve_grpc())")
    options: Any = {"recording": recording}
    uri = rerun.serve_grpc(
        grpc_port=ws_port, default_blueprint=default_blueprint, server_memory_limit=server_memory_limit, **options
    )
    web_server.serve_web_viewer(web_port=web_port, open_browser=open_browser, connect_to=uri)


NAMES: dict[str, Any] = {
    "DisconnectedSpace": disconnected_space,
    "ImageEncoded": image_encoded,
    "ImageFormat": ImageFormat,
    "Scalar": Scalar,
    "SeriesLine": series_line,
    "SeriesPoint": series_point,
    "TimeNanosColumn": time_nanos_column,
    "TimeSecondsColumn": time_seconds_column,
    "TimeSequenceColumn": time_sequence_column,
    "TimeSeriesScalar": time_series_scalar,
    "connect": connect,
    "connect_tcp": connect,
    "log_components": log_components,
    "serve": serve,
    "serve_web": serve,
    "set_time_nanos": set_time_nanos,
    "set_time_seconds": set_time_seconds,
    "set_time_sequence": set_time_sequence,
    "show": show,
}
"""What stands for rerun's names."""

METHODS = (
    "connect",
    "connect_tcp",
    "log_components",
    "serve",
    "serve_web",
    "set_time_nanos",
    "set_time_seconds",
    "set_time_sequence",
)
"""Those that a `RecordingStream` has too."""

MODULES = {
    "logging_handler": "LoggingHandler",
    "memory": "MemoryRecording",
    "recording": "MemoryRecording",
    "script_helpers": "script_add_args",
}
"""Modules that are gone, by what there is of them in another one."""

ADVICE = {
    "IndicatorComponentBatch": "indicators are gone, and nothing needs them",
    "Material": "give Mesh3D(albedo_factor=...)",
    "MeshProperties": "give Mesh3D(triangle_indices=...)",
    "OutOfTreeTransform3D": "log an InstancePoses3D",
    "OutOfTreeTransform3DBatch": "log an InstancePoses3D",
    "TranslationAndMat3x3": "give Transform3D(translation=..., mat3x3=...)",
    "TranslationRotationScale3D": "give Transform3D(translation=..., rotation=..., scale=...)",
    "color_conversion": "colours are converted by the archetypes that take them",
    "dataframe": "read recordings with rerun_mp.server, or rerun_mp.chunk.RrdReader",
    "html_shared": "notebooks have notebook_show()",
    "legacy_notebook": "notebooks have notebook_show()",
    "remote": "connect to servers with rerun_mp.catalog",
}
"""What to do without."""
