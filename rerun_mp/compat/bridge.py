"""The bridge: code that says `import rerun` logs into the session's recordings.

Users change the import line of one file; libraries and other modules keep calling `rerun.log`, `rerun.set_time` or
`rerun.LoggingHandler`. Rerun's Python code reaches its native part through functions of `rerun_bindings`, which it
looks up at each call. Once rerun is loaded, the functions of `compat.native` replace those that concern a recording.
A call that names one of our recordings, or none while one of ours is active, then comes here; all others go to rerun.

Rerun's own functions serve our recordings in the same way: `rr.send_property`, and every other function that `rerun_mp`
takes from rerun, runs rerun's Python code (argument checks, components, warnings) and ends in our replacements.

Releases of rerun-sdk differ (`versions`): a native function that a release lacks is not replaced, and one whose
parameters are not ours is left to rerun, with a warning. Nothing here loads rerun. The collector writes through rerun's
own recordings, so it installs no replacements.
"""

from __future__ import annotations

import functools
import sys
import warnings
from typing import TYPE_CHECKING, Any

from rerun_mp.api import init as opening
from rerun_mp.api import recording
from rerun_mp.api.sinks import FileSink, GrpcServerSink, GrpcSink
from rerun_mp.compat import versions
from rerun_mp.compat.native import recordings, rows, sinks
from rerun_mp.compat.native.registry import originals, replacements
from rerun_mp.errors import RerunMpError
from rerun_mp.fast.base import left_to_rerun
from rerun_mp.hooks import aliases, when_loaded
from rerun_mp.session import current, sink_changes

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["capture", "differing", "install", "replace_unknown_archetypes"]


VALUES = ("MediaType", "Quaternion", "RotationAxisAngle")
"""Names of `fast.values`."""


def install() -> None:
    """Bridge rerun as soon as it is loaded, and serve the names that it has dropped.

    Raises
    ------
    RerunMpError
        When rerun is loaded, if its version is older than `versions.OLDEST`.
    """
    when_loaded.when_loaded("rerun", _replace)
    when_loaded.when_loaded("rerun.server", _deliver_before_serving)
    recording.find_old_methods_with(_old_method)
    aliases.find_old_modules_with(_old_module)


def capture() -> None:
    """Replace the making of recordings, too, so that programs that know only rerun log into the session."""
    replacements["new_recording"] = recordings.new_recording


def _old_method(name: str) -> Callable[..., Any] | None:
    # Only programs that use an old name load this module.
    from rerun_mp.compat import legacy

    if name not in legacy.METHODS:
        return None
    if not legacy.are_served():
        raise AttributeError(f"'RecordingStream' object has no attribute {name!r}: {legacy.hint(name)}")
    method: Callable[..., Any] = legacy.NAMES[name]
    return method


def _old_module(name: str) -> ModuleType | None:
    from rerun_mp.compat import legacy

    return legacy.module_of(name)


def replace_unknown_archetypes(names: dict[str, Any]) -> None:
    """Replace the fast archetypes in a module that differ from an unknown release of rerun-sdk by rerun's own classes.

    Loads rerun, if such a release is installed.
    """
    if not versions.is_unknown():
        return
    import rerun

    for name in (*left_to_rerun, *VALUES):
        names.pop(name, None)
        if hasattr(rerun, name):
            names[name] = getattr(rerun, name)


def _replace(rerun: ModuleType) -> None:
    if when_loaded.leaves_rerun_alone or originals:
        return
    found = str(rerun.__version__)
    if not versions.is_supported(found):
        raise RerunMpError(
            f"rerun_mp does not work with rerun-sdk {found}; install one that it works with: "
            f"pip install '{versions.REQUIREMENT}'"
        )
    bindings = sys.modules["rerun_bindings"]
    left_out: list[str] = [] if versions.is_tested(found) else differing(bindings)
    if not versions.is_tested(found):
        from rerun_mp.fast import verification

        left_to_rerun.update(verification.differing(rerun.archetypes))
    originals["new_recording"] = bindings.new_recording
    for name, function in replacements.items():
        if hasattr(bindings, name) and name not in left_out:
            originals[name] = getattr(bindings, name)
            setattr(bindings, name, function)
    for step in (_replace_senders, _replace_viewers, _replace_sinks, _replace_init):
        try:
            step(rerun)
        except (AttributeError, KeyError):
            if versions.is_tested(found):
                raise
            left_out.append(step.__name__.removeprefix("_replace_"))
    if left_out or left_to_rerun:
        _warn_of_unknown(found, left_out)


def _replace_senders(rerun: ModuleType) -> None:
    """Replace `send_chunks`, which calls none of the native functions that are replaced."""
    senders = versions.send_chunks_modules()
    if senders:
        originals["_send_chunks"] = senders[0].send_chunks
        for module in senders:
            module.send_chunks = rows.send_chunks  # type: ignore[attr-defined]
    if hasattr(rerun.RecordingStream, "send_chunks"):
        rerun.RecordingStream.send_chunks = lambda self, chunks: rows.send_chunks(chunks, recording=self)


def _replace_viewers(rerun: ModuleType) -> None:
    originals["_spawn"] = rerun.spawn
    for module in (rerun, sys.modules["rerun.sinks"]):
        module.spawn = sinks.spawn  # type: ignore[attr-defined]
    rerun.RecordingStream.spawn = lambda self, **options: sinks.spawn(recording=self, **options)


def _replace_sinks(rerun: ModuleType) -> None:
    """Replace rerun's classes of sinks, which hide their arguments."""
    for module in (rerun, sys.modules["rerun.sinks"]):
        for kind in (FileSink, GrpcServerSink, GrpcSink):
            setattr(module, kind.__name__, kind)


def _replace_init(rerun: ModuleType) -> None:
    rerun.init = opening.init  # type: ignore[attr-defined]


def _warn_of_unknown(found: str, left_out: list[str]) -> None:
    """Warn once of the differences of an unknown release of rerun-sdk, and of their consequences."""
    parts = [f"rerun-sdk {found} is newer than this rerun_mp knows."]
    if left_out:
        parts.append(
            f"It has other parameters in {', '.join(sorted(left_out))}, or lacks them. Code that says `import rerun` "
            "calls these as rerun has them: what they log stays out of the session. `import rerun_mp as rr` works."
        )
    if left_to_rerun:
        names = ", ".join(sorted(left_to_rerun))
        parts.append(f"It has other archetypes {names}: rerun's own, slower classes serve them.")
    parts.append(f"Install a newer rerun_mp, or rerun-sdk<{versions.NEXT}.")
    warnings.warn(" ".join(parts), RuntimeWarning, stacklevel=2)


def differing(bindings: ModuleType) -> list[str]:
    """Return the native functions that are missing or take other parameters than our replacements."""
    left_out = []
    for name, function in replacements.items():
        theirs = versions.parameters_of(getattr(bindings, name, None))
        if not hasattr(bindings, name) or (theirs is not None and theirs != _parameters(function)):
            left_out.append(name)
    return left_out


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of a Python function's parameters in their order."""
    code = getattr(function, "__wrapped__", function).__code__
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _deliver_before_serving(server: ModuleType) -> None:
    """Have a server of files start only after the collector has written all rows to them."""
    original = server.Server.__init__

    @functools.wraps(original)
    def begin(self: Any, *args: Any, **kwargs: Any) -> None:
        joined = current.session()
        if joined is not None:
            sink_changes.deliver(joined, joined.settings.exit_timeout)
        original(self, *args, **kwargs)

    server.Server.__init__ = begin
