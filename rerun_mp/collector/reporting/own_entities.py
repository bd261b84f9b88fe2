"""Entity paths of the rows that the collector logs itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerun_mp.session.config import NodeSpec

__all__ = ["own_entity"]


def own_entity(node: NodeSpec | None, name: str) -> str:
    """Return the entity path of this name. In a job of several hosts it names the host."""
    return f"/__rerun_mp/{name}" if node is None else f"/__rerun_mp/{node.host}/{name}"
