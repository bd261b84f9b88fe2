"""What the session's processes and the machine use, as time series that the collector logs."""

from __future__ import annotations

from dataclasses import replace

from rerun_mp.errors import InvalidArgumentError, SessionError
from rerun_mp.protection import is_protected
from rerun_mp.settings import MAX_SECONDS

__all__ = ["capture_system"]


def capture_system(interval: float | None = 1.0, entity_path: str = "system") -> None:
    """Log what each process of the session and the machine use, until the session ends.

    `system/processes/<pid>/` has `cpu_percent` (100: one core), `rss_bytes`, `threads` and `descriptors` of each
    process that logs, `system/machine/` has `cpu_percent` (100: all cores), `memory_used_bytes` and
    `memory_total_bytes`. If pynvml is installed, `system/gpus/<number>/` has `utilization_percent` and
    `memory_used_bytes`. In a job of several hosts, or with a head, the host's name follows `system/`. The rows go to
    the session's default recording; they count in no process's statistics. Where rerun_mp is plain rerun, the call does
    nothing.

    Parameters
    ----------
    interval
        Seconds between two rows, at least 0.1. None stops.
    entity_path
        The part before these names.

    Raises
    ------
    InvalidArgumentError
        If the interval is no number of seconds.
    SessionError
        If this process is in no session; call `rerun_mp.init` first.

    Examples
    --------
    >>> capture_system(interval=0.5)  # doctest: +SKIP
    """
    if interval is not None and (not isinstance(interval, int | float) or not 0 <= interval < MAX_SECONDS):
        raise InvalidArgumentError(f"interval={interval!r} is not a number of seconds from 0 on, nor None")
    if not is_protected():
        return
    from rerun_mp.encoding.paths import canonical_entity_path
    from rerun_mp.session import current
    from rerun_mp.session.config import SystemFigures

    path = canonical_entity_path(entity_path).decode()
    joined = current.session()
    if joined is None:
        raise SessionError("this process is in no session that could be measured; call rerun_mp.init() first")
    figures = None if interval is None else SystemFigures(path, float(interval))
    joined.config_editor.edit(lambda config: replace(config, system=figures))
