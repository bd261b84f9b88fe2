"""This session as one node of a job: one of several hosts whose sessions have one recording, or a host with a head.

The founder writes the node into the configuration. The collector reads it there, because it has none of the variables
that name job and head. Any thread may call.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from rerun_mp.session.config import NodeSpec
from rerun_mp.session.jobs import recording_key_of

if TYPE_CHECKING:
    from rerun_mp.session.jobs import Job
    from rerun_mp.settings import Settings

__all__ = ["host_name", "node_of"]


def host_name() -> str:
    """Return this host's name, as it stands in entity paths and file names."""
    return re.sub(r"[^\w.-]", "_", socket.gethostname()).strip(".") or "host"


def node_of(job: Job | None, settings: Settings) -> NodeSpec | None:  # noqa: ARG001
    """Return the node that a new session of this job is; None if its job has this host alone, and no head."""
    if job is None or not job.spans_hosts:
        return None
    key = recording_key_of(job)
    return NodeSpec(host_name(), job.name, "" if key is None else key.hex())
