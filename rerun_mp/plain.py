"""`rerun_mp` as plain rerun, on a machine that lacks something a session needs (`rerun_mp.protection`).

Every name of rerun is rerun's own object. The names that only rerun_mp has do what they can without a session: settings
are checked and ignored, statistics are empty, `series` calls rerun's `log`. Each importing program warns once;
a child of multiprocessing does not warn again. Importing this module loads rerun. Any thread may call.
"""

from __future__ import annotations

import functools
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

import rerun

from rerun_mp import errors, settings
from rerun_mp.compat import versions
from rerun_mp.errors import ResourceError
from rerun_mp.hooks import aliases
from rerun_mp.protection import REQUIRE, is_protected, what_is_missing
from rerun_mp.session.rotation import Rotation, closed_parts
from rerun_mp.session.rules import Rule, load_rules
from rerun_mp.session.statistics import Account, SinkStatus, Statistics

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["find", "install", "set_entity_prefix"]

SWITCHES = ("set_log_tick_enabled", "set_log_time_enabled")
"""Functions that rerun-sdk has since 0.34."""

_prefix = ""
"""The entity path before the paths of all rows that `rerun_mp.log` logs in this process. Forked children inherit it."""


def install() -> None:
    """Serve rerun's modules under our name, and warn."""
    aliases.install_finder()
    if not _is_spawned_child():
        warnings.warn(
            f"{what_is_missing()}. So `rerun_mp` is plain rerun here. It does not promise that rows of child "
            "processes, or of a process that is killed, reach the recording, or that a viewer never delays the "
            f"program. `rerun_mp.is_protected()` returns False; {REQUIRE}=1 makes this an error.",
            RuntimeWarning,
            stacklevel=3,
        )


def _is_spawned_child() -> bool:
    """Say whether multiprocessing has started this process, which imports the main module once more."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return False
    # The second one holds while a spawned process imports the main module.
    return process.parent_process() is not None or getattr(process.current_process(), "_inheriting", False)


def find(name: str) -> Any:
    """Return what `rerun_mp` has under `name` here.

    Raises
    ------
    AttributeError
        If rerun has no such name, nor rerun_mp.
    """
    if name in _OWN:
        return _OWN[name]
    found = getattr(rerun, name, None)
    if found is not None or hasattr(rerun, name):
        return found
    if name in sys.modules["rerun_mp"].__all__:
        return functools.partial(_refuse, name)
    raise AttributeError(f"module 'rerun_mp' has no attribute {name!r}, nor has 'rerun'")


def _refuse(name: str, *_: object, **__: object) -> NoReturn:
    raise ResourceError(f"rerun_mp.{name} needs a session: {what_is_missing()}.")


def init(
    application_id: str,
    *args: Any,
    settings: settings.Settings | None = None,  # noqa: ARG001
    session: str | None = None,  # noqa: ARG001
    **options: Any,
) -> None:
    """Call rerun's `init`. Settings and name of a session have no effect."""
    rerun.init(application_id, *args, **options)


def new_recording(
    application_id: str,
    recording_id: str | uuid.UUID | None = None,
    make_default: bool = False,
    make_thread_default: bool = False,
    spawn: bool = False,
    default_enabled: bool = True,
) -> rerun.RecordingStream:
    """Make a recording of rerun's. Its id is a new one in each process."""
    made = rerun.RecordingStream(
        application_id,
        recording_id=recording_id,
        make_default=make_default,
        make_thread_default=make_thread_default,
        default_enabled=default_enabled,
    )
    if spawn:
        rerun.spawn(recording=made)
    return made


def spawn(*, headless: bool = False, **options: Any) -> None:  # noqa: ARG001
    """Call rerun's `spawn`, which always opens a window."""
    rerun.spawn(**options)


def flush(timeout_sec: float = 1e38, *, recording: rerun.RecordingStream | None = None) -> None:
    """Flush the sinks of rerun's recording."""
    active = rerun.get_data_recording(recording)
    if active is not None:
        active.flush(timeout_sec=timeout_sec)


def series(entity_path: str | list[object], *, recording: rerun.RecordingStream | None = None) -> Callable[[Any], None]:
    """Return a function that logs a number on an entity."""

    def log_number(number: Any) -> None:
        sys.modules["rerun_mp"].log(entity_path, rerun.Scalars(number), recording=recording)

    return log_number


def save(
    path: str | Path,
    default_blueprint: Any = None,
    recording: rerun.RecordingStream | None = None,
    *,
    rotate: Rotation | None = None,  # noqa: ARG001
    rules: Iterable[Rule] | None = None,  # noqa: ARG001
    **options: Any,
) -> None:
    """Call rerun's `save`, which writes one file without parts, and every row."""
    rerun.save(path, default_blueprint, recording, **options)


def next_episode(recording: rerun.RecordingStream | None = None) -> None:
    """Do nothing: rerun's files have no parts."""


def pause(recording: rerun.RecordingStream | None = None) -> None:
    """Do nothing, as `resume`: plain rerun cannot pause."""


def is_paused(recording: rerun.RecordingStream | None = None) -> bool:  # noqa: ARG001
    """Return False: plain rerun cannot pause."""
    return False


def snapshot(path: str | Path, **_: Any) -> None:
    """Warn that plain rerun keeps no window."""
    warnings.warn(f"snapshot: plain rerun keeps no rows, so {path} is not written", UserWarning, stacklevel=2)


def statistics() -> Statistics:
    """Return empty statistics: plain rerun counts nothing."""
    return Statistics()


def version() -> str:
    """Return the versions, as on a machine with protection, and that rows have none here."""
    return f"{versions.description()} as plain rerun"


def ignore_switch(enabled: bool, recording: rerun.RecordingStream | None = None) -> None:
    """Do nothing, for a release of rerun-sdk without a switch for the timelines `log_time` and `log_tick`."""


def set_entity_prefix(prefix: str | None) -> None:
    """Put an entity path before the paths of the rows that this process logs with `rerun_mp.log` from now on."""
    global _prefix
    _prefix = (prefix or "").strip("/")
    vars(sys.modules["rerun_mp"])["log"] = _log_with_prefix if _prefix else rerun.log


def _log_with_prefix(entity_path: str | list[object], *components: Any, **options: Any) -> None:
    path = entity_path if isinstance(entity_path, str) else rerun.new_entity_path(entity_path)
    is_reserved = path.lstrip("/").startswith("__")
    rerun.log(path if is_reserved else f"{_prefix}/{path.lstrip('/')}", *components, **options)


_OWN: dict[str, Any] = {
    **{name: getattr(errors, name) for name in errors.__all__},
    "Account": Account,
    "Policy": settings.Policy,
    "Rotation": Rotation,
    "Rule": Rule,
    "Settings": settings.Settings,
    "SinkStatus": SinkStatus,
    "Statistics": Statistics,
    "flush": flush,
    "init": init,
    "is_paused": is_paused,
    "is_protected": is_protected,
    "load_rules": load_rules,
    "new_recording": new_recording,
    "next_episode": next_episode,
    "parts": closed_parts,
    "pause": pause,
    "resume": pause,
    "save": save,
    "series": series,
    "snapshot": snapshot,
    "spawn": spawn,
    "statistics": statistics,
    "version": version,
    **{name: ignore_switch for name in SWITCHES if not hasattr(rerun, name)},
}
"""The names that rerun lacks, and those that take more arguments than rerun's."""
