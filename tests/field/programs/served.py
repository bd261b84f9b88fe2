"""A WSGI application that logs a row for each request: `gunicorn --preload served:application`. RECORDING is the file.

It loads all modules at once, because the workers' user may not be able to read them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import gunicorn.workers.sync  # noqa: F401
import numpy.ma  # noqa: F401
import rerun  # noqa: F401

import rerun_mp as rr
import rerun_mp.encoding.encoder

rr.init("rerun_mp_served")
rr.save(os.environ["RECORDING"])


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Log the path of a request, and answer with the worker's user."""
    rr.log("request", rr.TextLog(environ["PATH_INFO"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getuid()).encode()]
