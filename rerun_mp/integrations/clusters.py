"""Brings a recording to workers of Ray, Dask and the like, which are no children of the program.

The program makes the *shared variables*, the scheduler brings them to each worker, and the worker calls `begin`. It
works whichever was started first: scheduler, workers or program. The workers of one host share a session.
"""

from __future__ import annotations

import os
import secrets

import rerun_mp as rr
from rerun_mp.encoding.ids import job_key, recording_id
from rerun_mp.session import current
from rerun_mp.session.jobs import JOB_VARIABLE

__all__ = ["begin", "shared_variables"]

APPLICATION, RECORDING = "RERUN_MP_APPLICATION", "RERUN_MP_RECORDING"
OWN = ("RERUN_MP_SESSION", "RERUN_MP_SCOPE", "RERUN_MP_CAPTURE", "RERUN_MP_PYTHON")
"""Variables of this host alone."""


def shared_variables(application_id: str) -> dict[str, str]:
    """Return the variables that workers on any host need to log into this program's recording.

    If the program has called `rerun_mp.init`, the recording is its active one, and the head is that of its settings.
    Otherwise this call names the job, and a
    later `init` of the same application begins the same recording.

    Examples
    --------
    >>> sorted(shared_variables("my_app"))  # doctest: +SKIP
    ['RERUN_MP_APPLICATION', 'RERUN_MP_JOB', 'RERUN_MP_RECORDING']
    """
    job = os.environ.setdefault(JOB_VARIABLE, f"cluster-{secrets.token_hex(8)}")
    recording = rr.get_recording_id() or recording_id(job_key(f"recordings {job}"), application_id)
    settings = {name: os.environ[name] for name in os.environ if name.startswith("RERUN_MP_") and name not in OWN}
    settings |= _head_of_session()
    return {**settings, JOB_VARIABLE: job, APPLICATION: application_id, RECORDING: recording}


def _head_of_session() -> dict[str, str]:
    """Return the variables of the head that the program has given `init` as settings; none if there is no head."""
    joined = current.session()
    node = None if joined is None else joined.config().node
    if node is None:
        return {}
    found = {"RERUN_MP_HEAD": node.head, "RERUN_MP_HEAD_TOKEN": node.token, "RERUN_MP_SHIP_TO": node.ship_to}
    return {name: value for name, value in found.items() if value}


def begin() -> None:
    """Begin the program's recording in a worker that has the shared variables."""
    rr.init(os.environ[APPLICATION], recording_id=os.environ[RECORDING])
