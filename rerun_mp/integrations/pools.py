"""Pools: `multiprocessing.Pool`, `concurrent.futures.ProcessPoolExecutor`, joblib with loky.

Their workers need nothing in order to log. This has each say who it is, and then run an initializer of yours::

    Pool(4, initializer=initialize, initargs=("workers/{rank}",))
    ProcessPoolExecutor(4, initializer=initialize, initargs=("workers/{rank}", mine, (1, 2)))
    joblib.Parallel(4, initializer=initialize)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rerun_mp.integrations import exceptions
from rerun_mp.integrations.workers import identify

__all__ = ["initialize"]


def initialize(prefix: str | None = None, then: Callable[..., Any] | None = None, args: Sequence[Any] = ()) -> None:
    """Say who this worker is, have its uncaught exceptions logged, and call `then(*args)`.

    Parameters
    ----------
    prefix
        As `workers.identify`.
    then, args
        Your own initializer and what it is given.

    Examples
    --------
    >>> from multiprocessing import Pool
    >>> Pool(4, initializer=initialize, initargs=("workers/{rank}",))  # doctest: +SKIP
    """
    identify(prefix=prefix)
    exceptions.capture_exceptions()
    if then is not None:
        then(*args)
