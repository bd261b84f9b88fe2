"""`statistics`: rows logged, stored and dropped by each process of the session, and the state of its sinks."""

from __future__ import annotations

from rerun_mp.session import current, refused_rows
from rerun_mp.session.accounts import Statistics, read_accounts
from rerun_mp.session.sink_status import read_sinks

__all__ = ["statistics"]


def statistics() -> Statistics:
    """Return how many rows each process of the session has logged, how many were dropped, and why.

    The figures leave out rows that are still in the ring; call `flush` first to count all rows of this process. Every
    process of the session sees all its processes, including those that have ended. Without a session the result is
    empty. Rows that could not be logged are in `refused`, and by cause in `refused_here` for the calling process.

    Returns
    -------
    Statistics
        `producers` has an `Account` for each process; `logged`, `stored`, `held_back` and `dropped` are their sums. In
        each account, `logged == stored + held_back + dropped`: stored rows are in a file or spool of this machine, and
        the rules of the recording's file hold rows back. `sinks` has a `SinkStatus` for each sink: its state, when that
        state began, how many rows a viewer has acknowledged, and how many it is behind.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> for account in rr.statistics().producers:
    ...     print(account.name, account.logged, account.dropped, account.blocked_ns / 1e9)
    >>> for sink in rr.statistics().sinks:
    ...     print(sink.target, sink.state, sink.acknowledged_rows, sink.behind_rows)
    """
    joined = current.session()
    here, without = refused_rows.by_cause(), refused_rows.without_account()
    if joined is None:
        return Statistics(refused_here=here, refused_without_account=without)
    return Statistics(tuple(read_accounts(joined.segment)), read_sinks(joined.segment), here, without)
