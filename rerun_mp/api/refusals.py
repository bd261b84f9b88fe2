"""Handles rows that a call cannot log although its arguments are right: counts them, and warns or raises.

The cause is a full ring, a limit of the system, shared memory that was removed, a collector that cannot start, or a
session that has ended. It is not the program's fault, so it does not end the program: outside strict mode a call warns
once of each cause. Strict mode and the policy `raise` ask for an exception at each call.

Any thread may call, also in a signal handler.
"""

from __future__ import annotations

from rerun_mp.errors import ResourceError, RingFullError, SessionError, UnfinishedImportError, WrongKindError
from rerun_mp.hooks import strictness
from rerun_mp.session import current, refused_rows
from rerun_mp.settings import Policy
from rerun_mp.shm.interruptions import is_from_handler, is_own, unfinished_import
from rerun_mp.shm.layout import Header

__all__ = ["IMPORT_FAILURES", "REFUSALS", "refuse", "refuse_amid_import"]

REFUSALS = (ResourceError, SessionError, UnfinishedImportError)
"""The errors that say why a row could not be logged."""
IMPORT_FAILURES = (AttributeError, ImportError, RecursionError)
"""What comes from modules of which only a part has run."""
LIBRARIES = (*strictness.RERUN, "importlib", "_frozen_importlib")
"""Packages whose code fails on behalf of ours."""


def refuse_amid_import(call: str, error: Exception, rows: int) -> bool:
    """Refuse the rows of a call that failed because it interrupts an import. False: it failed otherwise.

    Raises
    ------
    UnfinishedImportError
        In strict mode.
    RingFullError
        If the session's policy is `raise`.
    """
    if isinstance(error, WrongKindError) or is_from_handler(error) or not is_own(error, LIBRARIES):
        return False
    name = unfinished_import(strictness.RERUN)
    if name is None:
        return False
    try:
        raise UnfinishedImportError(
            f"{call}: the call interrupts the import of {name!r}, which it needs; import {name!r} before anything "
            "that logs in the middle of imports"
        ) from error
    except UnfinishedImportError as unfinished:
        refuse(unfinished, rows)
    return True


def refuse(
    error: ResourceError | SessionError | UnfinishedImportError, rows: int, *, strict: bool | None = None
) -> None:
    """Count `rows` rows that `error` kept from being logged, and warn if this process has not warned of the cause yet.

    `strict` is the call's own argument; None: the mode of the thread.

    Raises
    ------
    ResourceError, SessionError
        `error` itself in strict mode, or if code of the program's raised it in the middle of the call.
    RingFullError
        If the session's policy is `raise`.
    """
    if not is_own(error):
        raise error
    joined = current.session()
    has_account = getattr(error, "is_counted", False) or (joined is not None and joined.count_refused(rows))
    is_first = refused_rows.add(error, rows, has_account=has_account)
    if strictness.strict_mode() if strict is None else strict:
        raise error
    if joined is not None and joined.segment.ring.words[Header.POLICY] == Policy.RAISE:
        if isinstance(error, RingFullError):
            raise error
        raise RingFullError(str(error)) from error
    if is_first:
        reason = str(error).rstrip(".")
        strictness.warn(
            f"{reason}. Further rows with this cause are only counted; the program goes on.", is_logged=False
        )
