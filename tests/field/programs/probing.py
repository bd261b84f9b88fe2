"""Asks which rerun it has, in the ways that public programs do: probing.py MODULE. Prints the answers as JSON.

MODULE is `rerun` or `rerun_mp`.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

NAMES = (
    "set_time_seconds", "set_time_nanos", "set_time_sequence", "Scalar", "TimeSeriesScalar", "SeriesLine",
    "SeriesPoint",
    "TimeSecondsColumn", "TimeSequenceColumn", "ImageEncoded", "ImageFormat", "DisconnectedSpace", "log_components",
    "connect", "connect_tcp", "serve", "serve_web", "show", "OutOfTreeTransform3D", "Scalars", "set_time",
    "connect_grpc", "save", "TimeColumn", "EncodedImage", "never_there",
)  # fmt: skip
MODULES = ("memory", "logging_handler", "script_helpers", "blueprint")


def answers(module: Any) -> dict[str, list[Any]]:
    """Return for each name what each way of asking says."""
    recording = module.RecordingStream("rerun_mp_probing")
    found: dict[str, list[Any]] = {}
    for name in NAMES:
        try:
            getattr(module, name)
            caught = False
        except AttributeError:
            caught = True
        try:
            exec(f"from {module.__name__} import {name}", {})
            imported = True
        except ImportError:
            imported = False
        found[name] = [
            hasattr(module, name),
            getattr(module, name, None) is not None,
            caught,
            imported,
            name in dir(module),
            hasattr(recording, name),
        ]
    for name in MODULES:
        try:
            importlib.import_module(f"{module.__name__}.{name}")
            found[name] = [True]
        except ImportError:
            found[name] = [False]
    try:
        module.set_time_seconds("time", 1.0)
        found["a call"] = ["old"]
    except AttributeError:
        module.set_time("time", duration=1.0)
        found["a call"] = ["new"]
    return found


if __name__ == "__main__":
    print(json.dumps(answers(importlib.import_module(sys.argv[1]))))
