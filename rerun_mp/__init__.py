"""Rerun for process trees: `import rerun_mp as rr` in place of `import rerun as rr`, and nothing else changes.

A row that `log` has accepted reaches the recording, however its process ends, under fork, forkserver and spawn. The
floors of the building, from the top; imports only go down:

    floor 4  __init__.py     this face: our functions, and every other name of rerun, loaded when it is asked for
             cli/            the command `rerun-mp`
             integrations/   pools, PyTorch, gunicorn, pytest, logging ...: who logged what
             imports.py      `import rerun_mp.blueprint as rrb`; what to do once rerun is loaded
    floor 3  opening.py      `init`, `new_recording`: what a program calls first
             legacy.py       names that rerun had once
             bridge.py       what still says `import rerun`: its native functions, replaced by ones for our recordings
             scopes.py       decorators: `shutdown_at_exit`, `thread_local_stream`, ...
             recording.py    `RecordingStream`, a handle of a recording
             rows.py         `log`, `send_columns`: from the call into the ring; `series.py`: a `log` for hot loops
             timeline.py     `set_time` and the times of each thread
             routing.py      `save`, `connect_grpc`, `spawn`, ...: where recordings go; `sinks.py`: what they go to
             viewer.py       starting a viewer, or finding one; `web_server.py`: serving the web viewer
             figures.py      a blueprint for the session's own figures
             statistics.py   how many rows who has logged, and what became of them
             beginning.py    making a recording known to the session
             active.py       which recording a call goes to
             strictness.py   an exception or a warning, when a call is wrong
    floor 2  session.py      the session of a process tree: found it, join it, leave it
             producer.py     this process's writing side
             collector/      the processes that take rows out of the ring to files and viewers
    floor 1  encoding/       archetypes to Arrow record batches; frames; ids
             fast/           archetypes that wait with the Arrow work until somebody needs it done
    floor 0  shm/            layout, segment, leases, ring, doorbell
             errors.py       every exception

Importing this package loads neither rerun nor numpy nor pyarrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rerun_mp.api.decorators import recording_stream_generator_ctx, shutdown_at_exit, thread_local_stream
from rerun_mp.api.init import init, new_recording, version
from rerun_mp.api.log import log, send_columns
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
from rerun_mp.api.series import series
from rerun_mp.api.set_time import disable_timeline, reset_time, set_log_tick_enabled, set_log_time_enabled, set_time
from rerun_mp.api.statistics import statistics
from rerun_mp.compat import bridge
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
    ViewerError,
)
from rerun_mp.hooks.forksafe_arrow import make_arrow_fork_safe
from rerun_mp.hooks.strictness import set_strict_mode, strict_mode
from rerun_mp.hooks.when_loaded import install_finder, is_own
from rerun_mp.session.accounts import Account, Statistics
from rerun_mp.session.sink_status import SinkStatus
from rerun_mp.settings import Policy, Settings
from rerun_mp.sinks import FileSink, GrpcServerSink, GrpcSink
from rerun_mp.viewers.web_server import serve_web_viewer, start_web_viewer_server

if TYPE_CHECKING:
    from typing import Any

    import rerun as _rerun

    # What `__getattr__` yields. Our own names, above, are wider than rerun's.
    from rerun import *  # type: ignore[assignment]  # noqa: F403

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
    time = _rerun.time
    urdf = _rerun.urdf
    web = _rerun.web
else:
    # Types are rerun's, because these classes stand for rerun's.
    from rerun_mp.fast import (  # noqa: F401
        DepthImage,
        EncodedImage,
        Image,
        Points2D,
        Points3D,
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
    "SessionEndedError",
    "SessionError",
    "Settings",
    "SharedMemoryError",
    "SinkStatus",
    "Statistics",
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
    "log",
    "new_recording",
    "recording_stream_generator_ctx",
    "reset_time",
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
    "spawn",
    "start_web_viewer_server",
    "statistics",
    "strict_mode",
    "thread_local_stream",
    "version",
]

install_finder()
bridge.install()
make_arrow_fork_safe()


_MISSING = object()

if not TYPE_CHECKING:
    # Type checkers shall say so when a name is wrong.

    def __getattr__(name: str) -> Any:
        """Return what rerun has under `name`, or had, loading rerun for it. Our own names never get here."""
        if name.startswith("__") and name not in ("__version__", "__version_info__"):
            raise AttributeError(f"module 'rerun_mp' has no attribute {name!r}")
        if is_own(f"{__name__}.{name}"):
            # `from rerun_mp import overview` asks here first, and is no reason to load rerun.
            return import_module(f"{__name__}.{name}")
        import rerun

        # Its own `datatypes` asks itself without end.
        value = getattr(rerun, name, _MISSING) if name != "datatypes" else _MISSING
        if value is _MISSING:
            from rerun_mp.compat.legacy import find

            return find(name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    import rerun

    return sorted({*globals(), *dir(rerun)})
