"""Replacements for rerun's native functions that log rows, chunks, files and blueprints."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any

from rerun_mp.api import rows, sink_setting
from rerun_mp.api.active import active_state, is_left_to_rerun
from rerun_mp.api.log import log
from rerun_mp.compat import versions
from rerun_mp.compat.native.registry import enabled_state, originals, replaces

if TYPE_CHECKING:
    from rerun import RecordingStream

    from rerun_mp.api.state import RecordingState

__all__ = ["send_chunks"]

PROPERTIES = "/__properties"
"""The entity path of a recording's own properties."""


@replaces
def log_arrow_msg(
    entity_path: str, components: dict[Any, Any], static_: bool, recording: RecordingStream | None = None
) -> None:
    state = enabled_state(recording)
    rows.append_components(state, entity_path, list(components), list(components.values()), static=static_)


@replaces
def send_arrow_chunk(
    entity_path: str,
    timelines: dict[str, Any],
    components: dict[Any, Any],
    recording: RecordingStream | None = None,
) -> None:
    state = enabled_state(recording)
    times = rows.checked_times(timelines.items())
    rows.append_columns(state, entity_path, times, list(components), list(components.values()))


def send_chunks(chunks: Any, *, recording: Any = None) -> None:
    """Send chunks to a recording, as `rerun.send_chunks`.

    The chunks keep their rows. As in rerun, they take the recording's chunk ids, application id and recording id.

    Parameters
    ----------
    chunks
        A `Chunk`, an iterable of them, a `LazyChunkStream`, a `LazyStore` or a `ChunkStore`.
    recording
        By default the active one.

    Raises
    ------
    TypeError
        If `chunks` contains anything but chunks.
    """
    if is_left_to_rerun(recording):
        originals["_send_chunks"](chunks, recording=recording)
        return
    Chunk = versions.chunk_module().Chunk  # noqa: N806 (rerun's class)
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


@replaces
def send_recording_name(name: str, recording: RecordingStream | None = None) -> None:
    if not isinstance(name, str):
        raise TypeError(f"argument 'name': '{type(name).__name__}' object is not an instance of 'str'")
    name.encode()  # as in rerun, a lone surrogate is an error, also outside strict mode
    _send_info(recording, name=name)


@replaces
def send_recording_start_time_nanos(nanos: int, recording: RecordingStream | None = None) -> None:
    _send_info(recording, start_time=operator.index(nanos))


@replaces
def send_blueprint(
    blueprint: Any, make_active: bool = False, make_default: bool = True, recording: RecordingStream | None = None
) -> None:
    sink_setting.send_blueprint(recording, blueprint, make_active=make_active, make_default=make_default)


@replaces
def log_file_from_path(
    file_path: str | os.PathLike[str],
    entity_path_prefix: str | None = None,
    static_: bool = False,
    recording: RecordingStream | None = None,
) -> None:
    _import(recording, "log_file_from_path", file_path, entity_path_prefix=entity_path_prefix, static_=static_)


@replaces
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
    """Have rerun's importers read a file into a temporary recording of rerun's own, and log its chunks."""
    from tempfile import TemporaryDirectory

    state = enabled_state(recording)
    native = originals["new_recording"](
        *state.key, make_default=False, make_thread_default=False, default_enabled=True, send_properties=False
    )
    with TemporaryDirectory(prefix="rerun_mp-import-") as directory:
        path = os.path.join(directory, "imported.rrd")
        originals["save"](path, recording=native)
        try:
            originals[how](*args, **kwargs, recording=native)
            # Importers run in threads of their own; `flush` waits for them.
            originals["flush"](recording=native)
        finally:
            originals["disconnect"](recording=native)
        reader = versions.chunk_module().RrdReader(path)
        for store in reader.recordings():
            send_chunks(reader.stream(store=store), recording=recording)


def _send_info(recording: RecordingStream | None, **info: Any) -> None:
    from rerun.archetypes import RecordingInfo

    log(PROPERTIES, RecordingInfo.from_fields(**info), static=True, recording=recording)


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
