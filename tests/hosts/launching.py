"""What launchers give the ranks of a job of several hosts."""

from __future__ import annotations

__all__ = ["of_torchrun"]


def of_torchrun(node: int, local_rank: int, nodes: int = 2, local: int = 2) -> dict[str, str]:
    """Return the variables that torchrun gives a rank."""
    return {
        "TORCHELASTIC_RUN_ID": "none",
        "MASTER_ADDR": "host1",
        "MASTER_PORT": "29500",
        "WORLD_SIZE": str(nodes * local),
        "LOCAL_WORLD_SIZE": str(local),
        "GROUP_RANK": str(node),
        "GROUP_WORLD_SIZE": str(nodes),
        "RANK": str(node * local + local_rank),
        "LOCAL_RANK": str(local_rank),
    }
