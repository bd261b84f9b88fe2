"""Recovers what the killed programs of an episode have left."""

from __future__ import annotations

from pathlib import Path

from tests.harness.programs import COMMAND, Program

__all__ = ["recover"]


def recover(directory: Path, environment: dict[str, str], timeout_secs: float) -> None:
    """Do what `rerun-mp recover` does, and wait for its end."""
    Program(COMMAND, "recover", "--quiet", directory=directory, env=environment, fresh=True).wait(
        timeout_secs=timeout_secs
    ).check()
