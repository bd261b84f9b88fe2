"""Gunicorn: hooks for its configuration file.

Call `rerun_mp.init` and `save` in the file itself. The master runs it before it forks its workers, which log into that
recording::

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
    """Label a worker's rows with gunicorn's number for it as rank, and capture its uncaught exceptions."""
    identify(rank=int(worker.age))
    exceptions.capture_exceptions()
