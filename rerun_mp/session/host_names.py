"""Names of hosts in entity paths and file names. Loads nothing that a platform may lack."""

from __future__ import annotations

import re
import socket

__all__ = ["host_entity", "host_name"]


def host_name(name: str | None = None) -> str:
    """Return a host's name, by default this host's, as it stands in entity paths and file names."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name or socket.gethostname())[:64].strip(".") or "host"


def host_entity(host: str | None, path: str) -> str:
    """Return this entity path, or a path below it that names the host. None: the session has one host only."""
    return path if host is None else f"{path}/{host}"
