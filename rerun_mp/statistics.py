"""What can be asked of the session: how many rows each process has logged, and what became of them."""

from __future__ import annotations

from rerun_mp import session
from rerun_mp.accounts import Statistics, read_accounts

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
        them `logged == delivered + dropped`.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> for account in rr.statistics().producers:
    ...     print(account.name, account.logged, account.dropped, account.blocked_ns / 1e9)
    """
    joined = session.current()
    return Statistics() if joined is None else Statistics(tuple(read_accounts(joined.segment)))
