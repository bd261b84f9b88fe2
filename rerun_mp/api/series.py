"""`series`: a function bound to one entity, for loops that log a number and little else.

The function knows the entity and the archetype beforehand, and makes no archetype. It takes times and recording from
the calling thread's lane, as `log` does. If the lane is not open, or the value is no plain number, it calls `log`. Any
thread may call it; a forked child may call the one that it has inherited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.api import lanes
from rerun_mp.api.active import is_foreign
from rerun_mp.api.lanes import Lanes, active_lanes
from rerun_mp.api.log import log
from rerun_mp.encoding.paths import canonical_entity_path
from rerun_mp.fast.base import left_to_rerun
from rerun_mp.fast.scalars import EXACT_TYPES, Scalars
from rerun_mp.shm.interruptions import is_own

if TYPE_CHECKING:
    from collections.abc import Callable

    from rerun.encodings import Float64ArrayLike

    from rerun_mp.api.recording import RecordingStream

__all__ = ["series"]


def series(
    entity_path: str | list[object], *, recording: RecordingStream | None = None
) -> Callable[[Float64ArrayLike], None]:
    """Return a function that logs a number on an entity: a cheaper `log(entity_path, Scalars(number))`.

    Its rows equal those of `log`: they carry the calling thread's times, go to the recording that is active at the
    call, and are safe when it returns. Keep the function for as long as you like. Any thread may call it, and it works
    in forked children. It cannot be pickled: a spawned process makes its own.

    Parameters
    ----------
    entity_path
        The entity, as for `log`.
    recording
        By default the recording that is active at each call.

    Returns
    -------
    Callable
        It takes a `float`, an `int`, a number of numpy, or any other argument of `Scalars`.

    Raises
    ------
    TypeError
        If `entity_path` is neither a string nor a list.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> loss = rr.series("train/loss")
    >>> for step in range(3):
    ...     rr.set_time("step", sequence=step)
    ...     loss(0.5**step)
    """
    if "Scalars" in left_to_rerun:
        from rerun import Scalars as Theirs

        return lambda number: log(entity_path, Theirs(number), recording=recording)
    path = entity_path if type(entity_path) is str else canonical_entity_path(entity_path).decode()
    own = active_lanes
    if recording is not None:
        state = None if is_foreign(recording) else recording.state
        own = Lanes() if state is None else state.lanes  # nothing opens these new lanes

    def log_number(number: Any) -> None:
        """Log a number. See `rerun_mp.series`."""
        lane = own.lane
        if lane.version == lanes.version:
            try:
                if type(number) is float:
                    if lane.tables[float](path, number, lane.times):
                        return
                elif type(number) in EXACT_TYPES and lane.tables[float](path, float(number), lane.times):
                    return
            except (KeyError, OverflowError, ValueError) as error:
                # No table is open, or it is closed, or the number is too large: `log` decides.
                if not is_own(error):
                    raise
        log(path, Scalars(number), recording=recording)

    return log_number
