"""The command `rerun-mp`, started as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness.programs import Finished, run_program

__all__ = ["COMMAND", "call"]

COMMAND = [str(Path(sys.executable).with_name("rerun-mp"))]


def call(
    *arguments: str | Path,
    command: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout_secs: float = 60.0,
) -> Finished:
    """Run `rerun-mp` to its end, if possible in the preloaded interpreter.

    A `command`, which may be `COMMAND` or one that runs it, starts as a user starts it.
    """
    changes = {"COLUMNS": "200", **(env or {})}
    if command is None:
        return run_program(Path(COMMAND[0]), *arguments, env=changes, timeout_secs=timeout_secs)
    begin = time.monotonic()
    done = subprocess.run(
        [*command, *map(str, arguments)],
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=timeout_secs,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)
