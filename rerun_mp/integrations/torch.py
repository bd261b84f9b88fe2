"""PyTorch's DataLoader: label the rows of its workers.

The workers can log without this module. They are daemons that PyTorch may kill at any time, which costs no row::

    DataLoader(dataset, num_workers=4, worker_init_fn=worker_init_fn)
    DataLoader(dataset, num_workers=4, worker_init_fn=named("loader/{rank}", then=seed_everything))
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rerun_mp.integrations.workers import identify

__all__ = ["named", "worker_init_fn"]


def worker_init_fn(worker_id: int) -> None:
    """Make a loader's worker log under `loader/<worker_id>`."""
    _start(worker_id, "loader/{rank}", None)


def named(prefix: str | None, then: Callable[[int], Any] | None = None) -> Callable[[int], None]:
    """Return a `worker_init_fn` with another prefix, which then calls your own.

    It can be pickled if `then` can, so it works with spawned workers.

    Examples
    --------
    >>> named("loader/{rank}") is not None
    True
    """
    return functools.partial(_start, prefix=prefix, then=then)


def _start(worker_id: int, prefix: str | None, then: Callable[[int], Any] | None) -> None:
    identify(prefix=prefix, rank=worker_id)
    if then is not None:
        then(worker_id)
