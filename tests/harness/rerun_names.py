"""Names of rerun that releases of rerun-sdk keep in different modules."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rerun_mp.compat import versions

if TYPE_CHECKING:
    from rerun import encodings
    from rerun.chunk import Chunk, RrdReader
else:
    _module = versions.chunk_module()
    encodings = import_module(next(name for name in versions.ENCODINGS if find_spec(name) is not None))
    Chunk, RrdReader = _module.Chunk, _module.RrdReader

__all__ = ["Chunk", "RrdReader", "encodings"]
