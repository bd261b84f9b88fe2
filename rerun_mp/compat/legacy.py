"""Names that rerun-sdk had from 0.12 to 0.22, or before, and has dropped since.

Each does what the release that dropped it said to do instead, and gives a `DeprecationWarning` at the line of the call.
A name without a successor for its arguments raises an `AttributeError` that says what to do instead.
tests/compat/test_legacy.py lists all of them, by comparison of those releases.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from rerun_mp.compat.old import archetypes, calls, times
from rerun_mp.compat.old.warning import warn_of_old_name

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["ADVICE", "METHODS", "MODULES", "NAMES", "find", "module_of"]


def find(name: str) -> Any:
    """Return the replacement for a name that rerun has dropped.

    Raises
    ------
    AttributeError
        If rerun never had the name, or there is no replacement. The message then says what to do instead.
    """
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


def module_of(name: str) -> ModuleType | None:
    """Return the module that now has the contents of a module that rerun has dropped. None: there is none."""
    if name not in MODULES:
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
