"""A WSGI application that logs each request into the file that the environment names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import rerun_mp as rr

rr.init("rerun_mp_wsgi")
rr.save(os.environ["RUN"])


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Log the number that the request names, and answer with the worker's process id."""
    rr.log("request", rr.Scalars(float(environ["QUERY_STRING"])))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
