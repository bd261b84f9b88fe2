"""Every exception that rerun_mp raises. Imports nothing of the package, so every floor may use it.

Each message says what happened, with the values, and what to do next. The classes distinguish *you called it wrongly*
(`InvalidArgumentError`) from *the machine has no room or no right* (`ResourceError` and below) and from *the other
side is gone* (`SessionError` and below).
"""

from __future__ import annotations

__all__ = [
    "CollectorError",
    "CorruptionError",
    "FlushTimeoutError",
    "InvalidArgumentError",
    "PrivacyError",
    "RerunMpError",
    "ResourceError",
    "RingFullError",
    "SessionEndedError",
    "SessionError",
    "SharedMemoryError",
    "ViewerError",
    "WrongKindError",
]


class RerunMpError(RuntimeError):
    """The root of all errors of rerun_mp. Rerun's native code raises `RuntimeError` for most of what these are for."""


class WrongKindError(TypeError, AttributeError):
    """An argument is of a kind that has not what the call needs of it; rerun's Python code raises `AttributeError`."""


class InvalidArgumentError(RerunMpError, ValueError):
    """A call's arguments cannot be used. Nothing was logged by that call; nothing else is affected."""


class ResourceError(RerunMpError, OSError):
    """The machine refused something that rerun_mp needs: memory, disk, a file, a process."""


class SharedMemoryError(ResourceError):
    """The shared-memory segment cannot be created, or is not one of ours."""


class PrivacyError(ResourceError):
    """A path or segment of a session belongs to somebody else, or lies open to others. It was not used."""


class RingFullError(ResourceError):
    """There was no room for a row for as long as the chosen policy waits. It was not logged, and is counted as refused.

    No room in the ring; on the disk of the spool, for a row too large for the ring; or in a table of the system's.
    """


class ViewerError(ResourceError):
    """A viewer cannot be started, or something else has its port. The recording goes where it went before."""


class SessionError(RerunMpError):
    """The session cannot be founded or joined, or has gone."""


class SessionEndedError(SessionError):
    """The session of this process tree has ended; what is logged now has nowhere to go."""


class CollectorError(SessionError):
    """The collector could not be started or reports a failure."""


class FlushTimeoutError(RerunMpError, TimeoutError):
    """A flush did not finish in time. The rows are still safe in shared memory, unless said otherwise."""


class CorruptionError(RerunMpError):
    """Bytes read from shared memory do not form what they claim to be. Counted, never fatal to the collector."""
