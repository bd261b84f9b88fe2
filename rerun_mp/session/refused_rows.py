"""Rows that this process could not log: counted by cause, and reported when the process ends.

A producer counts its refused rows in its account, too, where other processes see their number. This module also counts
the rows of a process that has no account, and knows the causes.

Any thread may call. A forked child counts from 0, and does not repeat the warnings of its parent.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping

from rerun_mp.errors import RerunMpError
from rerun_mp.standard_error import tell

__all__ = ["add", "by_cause", "report", "report_others", "without_account"]

_counts: Counter[str] = Counter()
"""Rows by `RerunMpError.cause`."""
_reported: Counter[str] = Counter()
"""Those of them that `report` has written about."""
_warned: set[str] = set()
"""The causes that a call of this process, or of one that it was forked from, has warned of."""
_without_account = 0
"""Rows that no producer has counted."""
_exit_pid = 0
"""The process that has registered `report`. A forked child inherits the value, and registers its own."""


def add(error: RerunMpError, rows: int, *, has_account: bool) -> bool:
    """Count rows that could not be logged. True: this process has not warned of the cause yet, so the caller does.

    `has_account`: a producer has counted them in its account.
    """
    global _without_account, _exit_pid
    _counts[error.cause] += rows
    if not has_account:
        _without_account += rows
    if _exit_pid != os.getpid():
        _exit_pid = os.getpid()
        atexit.register(report)
    is_first = error.cause not in _warned
    _warned.add(error.cause)
    return is_first


def by_cause() -> Mapping[str, int]:
    """Return the number of rows that this process could not log, by cause."""
    return dict(_counts)


def without_account() -> int:
    """Return the number of rows that this process could not log and that stand in no producer's account."""
    return _without_account


def report() -> None:
    """Write one line about the rows that this process could not log since the last report. None: write nothing."""
    new = _counts - _reported
    _reported.update(new)
    if new and sys.stderr is not None:
        tell(f"rerun_mp: {new.total()} rows were not logged: {_explain(new.items())}.\n")


def report_others(refused: int) -> None:
    """Write one line if processes of the session have refused more rows than this one. `refused`: in all accounts."""
    others = refused - (_counts.total() - _without_account)
    if others > 0 and sys.stderr is not None:
        tell(
            f"rerun_mp: other processes of the session could not log {others} rows; their warnings and "
            "statistics() say which.\n"
        )


def _explain(counts: Iterable[tuple[str, int]]) -> str:
    return "; ".join(f"{rows} because {cause}" for cause, rows in sorted(counts))


def _after_fork_in_child() -> None:
    global _without_account
    _counts.clear()
    _reported.clear()
    _without_account = 0


os.register_at_fork(after_in_child=_after_fork_in_child)
