"""Rerun for process trees: `import rerun_mp as rr` in place of `import rerun as rr`; nothing else in a program changes.

A row that `log` has accepted reaches the recording, however its process ends, under fork, forkserver and spawn.

This module has our functions, and every other public name of rerun, which it loads when the name is used. Importing it
loads neither rerun nor numpy nor pyarrow. On a machine that lacks what a session needs it is plain rerun, and says so
(`protection`, `plain`). ARCHITECTURE.md shows the packages and the way of a row through them.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from rerun_mp import protection as _protection
from rerun_mp.hooks.aliases import is_own as _is_own
from rerun_mp.protection import is_protected

_protection.ensure()

if TYPE_CHECKING or is_protected():
    import rerun_mp.hooks.entry  # isort: split # noqa: F401 (runs a collector in a process that was started to be one)
    from rerun_mp.api.decorators import recording_stream_generator_ctx, shutdown_at_exit, thread_local_stream
    from rerun_mp.api.init import init, new_recording, version
    from rerun_mp.api.log import log
    from rerun_mp.api.recording import RecordingStream
    from rerun_mp.api.routing import connect_grpc, disconnect, flush, save, set_sinks, spawn
    from rerun_mp.api.selection import (
        get_application_id,
        get_data_recording,
        get_global_data_recording,
        get_recording_id,
        get_thread_local_data_recording,
        is_enabled,
        set_global_data_recording,
        set_thread_local_data_recording,
    )
    from rerun_mp.api.send_columns import send_columns
    from rerun_mp.api.series import series
    from rerun_mp.api.set_time import disable_timeline, reset_time, set_log_tick_enabled, set_log_time_enabled, set_time
    from rerun_mp.api.sinks import FileSink, GrpcServerSink, GrpcSink
    from rerun_mp.api.statistics import statistics
    from rerun_mp.compat import bridge as _bridge
    from rerun_mp.errors import (
        CollectorError,
        CorruptionError,
        FlushTimeoutError,
        InvalidArgumentError,
        PrivacyError,
        RerunMpError,
        ResourceError,
        RingFullError,
        SessionEndedError,
        SessionError,
        SharedMemoryError,
        UnfinishedImportError,
        ViewerError,
    )
    from rerun_mp.fast.base import left_to_rerun as _left_to_rerun
    from rerun_mp.fast.general import GENERAL_NAMES as _GENERAL_NAMES
    from rerun_mp.fast.general import general_class as _general_class
    from rerun_mp.hooks import aliases as _aliases
    from rerun_mp.hooks import when_loaded as _when_loaded
    from rerun_mp.hooks.forksafe_arrow import make_arrow_fork_safe as _make_arrow_fork_safe
    from rerun_mp.hooks.strictness import set_strict_mode, strict_mode
    from rerun_mp.session.accounts import Account, Statistics
    from rerun_mp.session.sink_status import SinkStatus
    from rerun_mp.settings import Policy, Settings
    from rerun_mp.viewers.web_server import serve_web_viewer, start_web_viewer_server

if TYPE_CHECKING:
    from typing import Any

    import rerun as _rerun

    # The names that `__getattr__` finds. Our own names above take more arguments than rerun's.
    from rerun import *  # type: ignore[assignment]  # noqa: F403

    from rerun_mp.api.long_runs import Rotation, next_episode, parts, snapshot
    from rerun_mp.api.pausing import is_paused, pause, resume
    from rerun_mp.session.rules import Rule, load_rules

    archetypes = _rerun.archetypes
    auth = _rerun.auth
    blueprint = _rerun.blueprint
    catalog = _rerun.catalog
    chunk = _rerun.chunk
    components = _rerun.components
    encodings = _rerun.encodings
    error_utils = _rerun.error_utils
    experimental = _rerun.experimental
    recording_stream = _rerun.recording_stream
    server = _rerun.server
    sinks = _rerun.sinks
    time = _rerun.time
    urdf = _rerun.urdf
    web = _rerun.web
elif is_protected():
    # These classes stand for rerun's, so type checkers see rerun's.
    from rerun_mp.fast import (  # noqa: F401
        AnyValues,
        DepthImage,
        DynamicArchetype,
        EncodedImage,
        Image,
        Scalars,
        SegmentationImage,
        Tensor,
        TextLog,
        Transform3D,
    )

__all__ = [
    "Account",
    "CollectorError",
    "CorruptionError",
    "FileSink",
    "FlushTimeoutError",
    "GrpcServerSink",
    "GrpcSink",
    "InvalidArgumentError",
    "Policy",
    "PrivacyError",
    "RecordingStream",
    "RerunMpError",
    "ResourceError",
    "RingFullError",
    "Rotation",
    "Rule",
    "SessionEndedError",
    "SessionError",
    "Settings",
    "SharedMemoryError",
    "SinkStatus",
    "Statistics",
    "UnfinishedImportError",
    "ViewerError",
    "connect_grpc",
    "disable_timeline",
    "disconnect",
    "flush",
    "get_application_id",
    "get_data_recording",
    "get_global_data_recording",
    "get_recording_id",
    "get_thread_local_data_recording",
    "init",
    "is_enabled",
    "is_paused",
    "is_protected",
    "load_rules",
    "log",
    "new_recording",
    "next_episode",
    "parts",
    "pause",
    "recording_stream_generator_ctx",
    "reset_time",
    "resume",
    "save",
    "send_columns",
    "series",
    "serve_web_viewer",
    "set_global_data_recording",
    "set_log_tick_enabled",
    "set_log_time_enabled",
    "set_sinks",
    "set_strict_mode",
    "set_thread_local_data_recording",
    "set_time",
    "shutdown_at_exit",
    "snapshot",
    "spawn",
    "start_web_viewer_server",
    "statistics",
    "strict_mode",
    "thread_local_stream",
    "version",
]

if TYPE_CHECKING or is_protected():
    _when_loaded.install_finder()
    _aliases.install_finder()
    _bridge.install()
    _make_arrow_fork_safe()
    _bridge.replace_unknown_archetypes(globals())
else:
    from rerun_mp import plain as _plain

    _plain.install()

_MISSING = object()
_LATE_NAMES = {
    **dict.fromkeys(("Rotation", "next_episode", "parts", "snapshot"), "rerun_mp.api.long_runs"),
    **dict.fromkeys(("is_paused", "pause", "resume"), "rerun_mp.api.pausing"),
    **dict.fromkeys(("Rule", "load_rules"), "rerun_mp.session.rules"),
    "TimeColumn": "rerun_mp.fast.columns",
    **dict.fromkeys(("script_add_args", "script_setup", "script_teardown"), "rerun_mp.compat.script_helpers"),
    **dict.fromkeys(("MediaType", "Quaternion", "RotationAxisAngle"), "rerun_mp.fast.values"),
}
"""Names that are loaded when they are first used -> their modules."""

if not TYPE_CHECKING:
    # Type checkers do not see this function, so they report a wrong name.

    def __getattr__(name: str) -> Any:
        """Return what rerun has, or once had, under `name`. Loads rerun. Python finds our own names before it asks."""
        if name.startswith("__") and name not in ("__version__", "__version_info__"):
            raise AttributeError(f"module 'rerun_mp' has no attribute {name!r}")
        if _is_own(f"{__name__}.{name}"):
            # `from rerun_mp import figures` asks here first; that must not load rerun.
            return _import_module(f"{__name__}.{name}")
        if not is_protected():
            value = globals()[name] = _plain.find(name)
            return value
        if name in _LATE_NAMES:
            value = globals()[name] = getattr(_import_module(_LATE_NAMES[name]), name)
            return value
        if name in _GENERAL_NAMES and name not in _left_to_rerun:
            value = globals()[name] = _general_class(name)
            return value
        import rerun

        # Since rerun-sdk 0.37, `rerun.datatypes` recurses for ever; `find` has another way.
        is_old = name == "datatypes" and hasattr(rerun, "encodings")
        value = _MISSING if is_old else getattr(rerun, name, _MISSING)
        if value is _MISSING:
            from rerun_mp.compat.legacy import find

            return find(name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    import rerun

    return sorted({*__all__, *(name for name in dir(rerun) if not name.startswith("_"))})
