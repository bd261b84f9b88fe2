"""The exceptions that rerun_mp raises. This module imports nothing of the package, so any module may import it.

Each message says what happened, with values, and what to do next. The classes tell apart a wrong call
(`InvalidArgumentError`), a machine that lacks room or permission (`ResourceError` and its subclasses) and a session
that is gone (`SessionError` and its subclasses).
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
    "UnfinishedImportError",
    "ViewerError",
    "WrongKindError",
]


class RerunMpError(RuntimeError):
    """Base of rerun_mp's errors. It is a `RuntimeError`, as most errors of rerun's native code are."""

    cause = "rerun_mp failed"
    """Why the row of a call was not logged, for the line at the program's exit and for `statistics()`."""


class WrongKindError(TypeError, AttributeError):
    """An argument has the wrong type. For such a call, rerun's Python code raises `AttributeError`."""


class InvalidArgumentError(RerunMpError, ValueError):
    """A call's arguments are invalid. That call has logged nothing; nothing else is affected."""


class ResourceError(RerunMpError, OSError):
    """The system refused memory, disk space, a file or a process that rerun_mp needs."""

    cause = "the system refused what the session needs"


class SharedMemoryError(ResourceError):
    """The shared-memory segment cannot be created, or the existing one is not a segment of rerun_mp."""

    cause = "the session's shared memory was removed"


class PrivacyError(ResourceError):
    """A path or segment of a session belongs to another user, or other users can open it. It was not used."""


class RingFullError(ResourceError):
    """There was no room for a row for as long as the policy waits. The row was not logged, and is counted as refused.

    The ring was full; or the spool's disk, for a row too large for the ring; or one of the system's own tables. A call
    raises it under the policy `raise` and in strict mode; otherwise the call warns once of each cause.
    """

    cause = "the ring stayed full"
    is_counted = False
    """Whether the producer has counted the refused rows in its account."""


class ViewerError(ResourceError):
    """A viewer cannot be started, or another program has its port. The recording keeps its sinks."""


class UnfinishedImportError(RerunMpError, ImportError):
    """A call interrupts an import of a module that it needs, such as pyarrow. The rows were not logged.

    A signal handler, an import hook or a `logging` handler can make such a call. It can neither finish the import nor
    wait for it.
    """

    cause = "their calls interrupted the import of a module that they needed"


class SessionError(RerunMpError):
    """The session cannot be founded or joined, or is gone."""

    cause = "the session is gone"


class SessionEndedError(SessionError):
    """The session of this process tree has ended; rows have nowhere to go."""

    cause = "the session had ended"


class CollectorError(SessionError):
    """The collector cannot be started, or reports a failure."""

    cause = "no collector could be started"


class FlushTimeoutError(RerunMpError, TimeoutError):
    """A flush did not finish in time. The rows are safe in shared memory, unless the message says otherwise."""


class CorruptionError(RerunMpError):
    """Bytes from shared memory or a file are damaged. The collector counts the rows as damaged and goes on."""
