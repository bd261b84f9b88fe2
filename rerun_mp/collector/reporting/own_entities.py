"""Entity paths and recordings of the rows that the collector logs itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.session.node import host_entity

if TYPE_CHECKING:
    from rerun_mp.session.config import NodeSpec

__all__ = ["MAX_RECORDINGS", "own_entity"]

MAX_RECORDINGS = 16
"""Maximum recordings that get a row which belongs to all recordings of the session."""


def own_entity(node: NodeSpec | None, name: str) -> str:
    """Return the entity path of this name. In a job of several hosts it names the host."""
    return f"{host_entity(node, '/__rerun_mp')}/{name}"
