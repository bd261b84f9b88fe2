"""The command `rerun-mp`, started as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["COMMAND", "call"]

COMMAND = [str(Path(sys.executable).with_name("rerun-mp"))]


def call(
    *arguments: str | Path,
    command: Sequence[str] = COMMAND,
    env: Mapping[str, str] | None = None,
    timeout_secs: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run `rerun-mp`, or a command that runs it, to its end."""
    environment = {**os.environ, "COLUMNS": "200", **(env or {})}
    return subprocess.run(
        [*command, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_secs,
        check=False,
        stdin=subprocess.DEVNULL,
    )
