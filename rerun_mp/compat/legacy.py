"""Names that rerun-sdk had from 0.12 to 0.22, or before, and has dropped since.

By default the package lacks them, as rerun-sdk 0.41 does: programs ask with `hasattr`, `getattr`, `from ... import` or
`except AttributeError` which rerun they have, and must take the same branch with both. The `AttributeError` says what
to write instead.

RERUN_MP_OLD_NAMES=1 serves them. Each then does what the release that dropped it said to do instead, and gives a
`DeprecationWarning` at the line of the call. A name without a successor for its arguments still raises.
tests/compat/test_legacy.py lists all of them, by comparison of those releases.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from rerun_mp.compat.old import archetypes, calls, times
from rerun_mp.compat.old.warning import warn_of_old_name
from rerun_mp.settings import parse_switch

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["ADVICE", "METHODS", "MODULES", "NAMES", "SUCCESSORS", "are_served", "find", "hint", "module_of"]

SWITCH = "RERUN_MP_OLD_NAMES"
"""The environment variable that serves old names."""


def find(name: str) -> Any:
    """Return the replacement for a name that rerun has dropped.

    Raises
    ------
    AttributeError
        If rerun never had the name, there is no replacement, or old names are off. The message then says what to do.
    """
    if name in SUCCESSORS and not are_served():
        raise AttributeError(f"module 'rerun_mp' has no attribute {name!r}: {hint(name)}")
    if name in NAMES:
        return NAMES[name]
    if name == "datatypes":
        # In rerun-sdk 0.41, `rerun.datatypes` recurses for ever.
        from importlib import import_module

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = import_module("rerun.datatypes")
        warn_of_old_name("rerun_mp.datatypes", "rerun_mp.encodings", level=4)
        return module
    if name == "UUID":
        from uuid import UUID

        return UUID
    if name == "BlueprintLike":
        from rerun.blueprint import BlueprintLike

        return BlueprintLike
    if name in MODULES:
        return module_of(name)
    if name in ADVICE:
        raise AttributeError(f"module 'rerun_mp' has no attribute {name!r}: rerun-sdk has dropped it; {ADVICE[name]}")
    raise AttributeError(f"module 'rerun_mp' has no attribute {name!r}, nor has 'rerun'")


def are_served() -> bool:
    """Return whether the user asks for old names. Read at each use, so that a program may set the variable itself."""
    return bool(parse_switch(os.environ.get(SWITCH, "")))


def hint(name: str) -> str:
    """Return what to do about an old name while old names are off."""
    return f"rerun-sdk has dropped it; {SUCCESSORS[name]}, or set {SWITCH}=1 to go on with the old names"


def module_of(name: str) -> ModuleType | None:
    """Return the module that now has the contents of a module that rerun has dropped. None: there is none."""
    if name not in MODULES or (name in SUCCESSORS and not are_served()):
        return None
    import rerun

    return sys.modules[getattr(rerun, MODULES[name]).__module__]


NAMES: dict[str, Any] = {
    "DisconnectedSpace": archetypes.disconnected_space,
    "ImageEncoded": archetypes.image_encoded,
    "ImageFormat": archetypes.ImageFormat,
    "Scalar": archetypes.Scalar,
    "SeriesLine": archetypes.series_line,
    "SeriesPoint": archetypes.series_point,
    "TimeNanosColumn": times.time_nanos_column,
    "TimeSecondsColumn": times.time_seconds_column,
    "TimeSequenceColumn": times.time_sequence_column,
    "TimeSeriesScalar": archetypes.time_series_scalar,
    "connect": calls.connect,
    "connect_tcp": calls.connect,
    "log_components": calls.log_components,
    "serve": calls.serve,
    "serve_web": calls.serve,
    "set_time_nanos": times.set_time_nanos,
    "set_time_seconds": times.set_time_seconds,
    "set_time_sequence": times.set_time_sequence,
    "show": calls.show,
}
"""Replacements, by the old names."""

SUCCESSORS = {
    "BlueprintLike": "use blueprint.BlueprintLike",
    "DisconnectedSpace": "use Transform3D(mat3x3=[0.0] * 9)",
    "ImageEncoded": "use EncodedImage, or Image for NV12 and YUY2",
    "ImageFormat": "give EncodedImage a media_type, or Image a pixel_format",
    "Scalar": "use Scalars",
    "SeriesLine": "use SeriesLines",
    "SeriesPoint": "use SeriesPoints",
    "TimeNanosColumn": "use TimeColumn(timeline, timestamp=...) or TimeColumn(timeline, duration=...)",
    "TimeSecondsColumn": "use TimeColumn(timeline, timestamp=...) or TimeColumn(timeline, duration=...)",
    "TimeSequenceColumn": "use TimeColumn(timeline, sequence=...)",
    "TimeSeriesScalar": "use Scalars, and SeriesLines or SeriesPoints once",
    "UUID": "use uuid.UUID",
    "connect": "use connect_grpc()",
    "connect_tcp": "use connect_grpc()",
    "log_components": "use log(entity_path, components)",
    "logging_handler": "use LoggingHandler",
    "memory": "use memory_recording() and MemoryRecording",
    "script_helpers": "use script_add_args(), script_setup() and script_teardown()",
    "serve": "use serve_web_viewer(connect_to=serve_grpc())",
    "serve_web": "use serve_web_viewer(connect_to=serve_grpc())",
    "set_time_nanos": "use set_time(timeline, timestamp=1e-9 * nanos) or set_time(timeline, duration=1e-9 * nanos)",
    "set_time_seconds": "use set_time(timeline, timestamp=seconds) or set_time(timeline, duration=seconds)",
    "set_time_sequence": "use set_time(timeline, sequence=...)",
    "show": "use spawn()",
}
"""Old names that are served only if the user asks for them, and what to use instead.

`datatypes` and `recording` are always served: rerun-sdk 0.41 has or documents them.
"""

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
"""The names that are methods of `RecordingStream`, too."""

MODULES = {
    "logging_handler": "LoggingHandler",
    "memory": "MemoryRecording",
    "recording": "MemoryRecording",
    "script_helpers": "script_add_args",
}
"""Dropped modules, and for each a name whose module has its contents now."""

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
"""Names without a replacement, and what to do instead."""
