"""What differs between the releases of rerun-sdk that rerun_mp works with, and nothing else about them.

rerun-sdk 0.32 is the oldest: 0.31 has no `Chunk.from_record_batch`, which the collector needs to keep row ids. All
releases from `OLDEST` to `NEWEST` are tested (`make test-versions`; docs/platforms.md has the table). A newer one works
as far as it matches: when it is loaded, `compat.bridge` compares the signatures of its native functions,
`fast.verification` its archetypes, and both leave those that differ to rerun's own code, with one warning. The
collector tries a chunk at its start (`collector.store.rerun_sdk`).

Functions ask for a name or a signature rather than for a version. Nothing here loads rerun. Any thread may call.
"""

from __future__ import annotations

import functools
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = [
    "ENCODINGS",
    "NEWEST",
    "NEXT",
    "OLDEST",
    "OWN",
    "REQUIREMENT",
    "adds_log_tick",
    "chunk_maker",
    "chunk_module",
    "description",
    "installed",
    "is_supported",
    "is_tested",
    "is_unknown",
    "minor_release",
    "parameters_of",
    "send_chunks_modules",
]

OWN = "0.2.0"
"""The version of rerun_mp."""
OLDEST = (0, 32)
"""The oldest minor release that works."""
NEWEST = (0, 41)
"""The newest minor release that is tested. Later ones are used as far as they match."""
NEXT = "0.42"
"""The first minor release that is not tested."""
REQUIREMENT = f"rerun-sdk>={'.'.join(map(str, OLDEST))},<1"
"""What a user installs, as pip reads it."""

ENCODINGS = ("rerun.encodings", "rerun.datatypes")
"""Modules with classes such as `Quaternion` and `ColorModel`: since 0.37, and before."""
_SEND_CHUNKS_MODULES = ("rerun._send_chunks", "rerun", "rerun.experimental._send_chunks", "rerun.experimental")
"""Modules that hold `send_chunks`: the first two since 0.38, the others before."""


@functools.cache
def installed() -> str:
    """Return the version of the installed rerun-sdk; "" if none is found.

    The names of the installed distributions say it: `importlib.metadata` would take ten times as long.
    """
    for directory in sys.path:
        try:
            names = os.listdir(directory or ".")
        except OSError:
            continue
        for name in names:
            if name.startswith("rerun_sdk-") and name.endswith(".dist-info"):
                return name[len("rerun_sdk-") : -len(".dist-info")]
    rerun = sys.modules.get("rerun")
    return str(getattr(rerun, "__version__", ""))


def description() -> str:
    """Return the versions of rerun_mp, rerun-sdk and Python, and the platform, in one line for bug reports."""
    import platform
    from importlib.metadata import version

    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"rerun_mp {OWN} (rerun-sdk {version('rerun-sdk')}, {python}, {platform.platform()})"


def minor_release(version: str) -> tuple[int, ...]:
    """Return (major, minor) of a version such as "0.41.0" or "0.42.0rc1"; () if it names none."""
    try:
        return tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return ()


def is_supported(version: str) -> bool:
    """Say whether rerun_mp works with this version of rerun-sdk, as far as can be said before trying."""
    return minor_release(version) >= OLDEST


def is_tested(version: str) -> bool:
    """Say whether this version's minor release has been tested."""
    return OLDEST <= minor_release(version) <= NEWEST


def is_unknown() -> bool:
    """Say whether a release of rerun-sdk is installed that is newer than those that are tested."""
    return minor_release(installed()) > NEWEST


def adds_log_tick() -> bool:
    """Say whether rows have the timeline `log_tick` by default: until 0.33, which also cannot turn it off."""
    return OLDEST <= minor_release(installed()) < (0, 34)


def parameters_of(function: Any) -> list[str] | None:
    """Return the names of a native function's parameters in their order; None if it does not tell them."""
    text = getattr(function, "__text_signature__", None)
    if not isinstance(text, str):
        return None
    # `inspect.signature` fails on defaults that are written as `...`, and takes longer to import than this.
    names = (part.partition("=")[0].strip() for part in text.strip("()").split(","))
    return [name.lstrip("*") for name in names if name not in ("", "*", "/", "$self", "self")]


def chunk_maker(chunk_class: Any) -> Callable[[Any], list[Any]]:
    """Return the function that makes chunks of a record batch and keeps its ids, from the native class of chunks."""
    make = chunk_class.from_record_batch
    if "index_mode" in (parameters_of(make) or ()):
        return lambda batch: _as_list(make(batch, "auto", [], None))  # since 0.34
    return lambda batch: _as_list(make(batch))


def _as_list(made: Any) -> list[Any]:
    return made if isinstance(made, list) else [made]


def chunk_module() -> ModuleType:
    """Return rerun's module with `Chunk` and `RrdReader`. Loads rerun."""
    try:
        return import_module("rerun.chunk")  # since 0.38
    except ModuleNotFoundError:
        return import_module("rerun.experimental")


def send_chunks_modules() -> list[ModuleType]:
    """Return the loaded modules of rerun that hold `send_chunks`."""
    loaded = (sys.modules.get(name) for name in _SEND_CHUNKS_MODULES)
    return [module for module in loaded if module is not None and "send_chunks" in vars(module)]
