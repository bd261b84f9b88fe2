"""Gunicorn: hooks for its configuration file.

Call `rerun_mp.init` and `save` in the file itself, which the master runs before it forks its workers; they log into
that recording::

    # gunicorn.conf.py
    import rerun_mp as rr
    from rerun_mp.integrations.gunicorn import post_fork

    rr.init("my_service")
    rr.save("service.rrd")
"""

from __future__ import annotations

from typing import Any

from rerun_mp.integrations import exceptions
from rerun_mp.integrations.workers import identify

__all__ = ["post_fork"]


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 (gunicorn's signature)
    """Have a worker say who it is, and log its uncaught exceptions; its rank is gunicorn's number for it."""
    identify(rank=int(worker.age))
    exceptions.capture_exceptions()
