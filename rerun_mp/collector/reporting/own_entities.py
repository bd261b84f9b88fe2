"""Entity paths and recordings of the rows that the collector logs itself."""

from __future__ import annotations

from rerun_mp.session.host_names import host_entity

__all__ = ["MAX_RECORDINGS", "own_entity"]

MAX_RECORDINGS = 16
"""Maximum recordings that get a row which belongs to all recordings of the session."""


def own_entity(host: str | None, name: str) -> str:
    """Return the entity path of this name. `host` as for `host_entity`."""
    return f"{host_entity(host, '/__rerun_mp')}/{name}"
