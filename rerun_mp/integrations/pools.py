"""Pools: `multiprocessing.Pool`, `concurrent.futures.ProcessPoolExecutor`, joblib with loky.

Their workers can log without this module. `initialize` labels each worker's rows, and then runs your own initializer::

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
    """Label this worker's rows, capture its uncaught exceptions, and call `then(*args)`.

    Parameters
    ----------
    prefix
        As for `workers.identify`.
    then, args
        Your own initializer and its arguments.

    Examples
    --------
    >>> from multiprocessing import Pool
    >>> Pool(4, initializer=initialize, initargs=("workers/{rank}",))  # doctest: +SKIP
    """
    identify(prefix=prefix)
    exceptions.capture_exceptions()
    if then is not None:
        then(*args)
