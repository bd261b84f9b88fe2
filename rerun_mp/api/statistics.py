"""What can be asked of the session: how many rows each process has logged, what became of them, how the sinks are."""

from __future__ import annotations

from rerun_mp.session import current
from rerun_mp.session.accounts import Statistics, read_accounts
from rerun_mp.session.sink_status import read_sinks

__all__ = ["statistics"]


def statistics() -> Statistics:
    """Return how many rows each process of the session has logged, how many of them were dropped, and why.

    Rows that the collector has still to take out of shared memory are in neither figure; call `flush` first to have
    all of this process's. Any process of the session sees all processes, those that have ended too. Outside of a
    session there are none.

    Returns
    -------
    Statistics
        `producers` has an `Account` for each process, and the sums `logged`, `delivered` and `dropped`. For each of
        them `logged == delivered + dropped`. `sinks` has a `SinkStatus` for each sink: whether it is connected, how far
        behind it is, since when it is tried again.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> for account in rr.statistics().producers:
    ...     print(account.name, account.logged, account.dropped, account.blocked_ns / 1e9)
    >>> for sink in rr.statistics().sinks:
    ...     print(sink.target, sink.state, sink.behind_rows)
    """
    joined = current.session()
    if joined is None:
        return Statistics()
    return Statistics(tuple(read_accounts(joined.segment)), read_sinks(joined.segment))
