"""Runs a program on small disks: file systems in memory, in a mount namespace that no other process sees.

As a program: `small_disks.py MOUNTS COPIES PROGRAM ARGUMENTS...`. MOUNTS is JSON, mount point to size. COPIES is JSON,
source to target, of files to copy out at the end: the disks go away with the last process in the namespace.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["may_unshare", "on_small_disks"]

INSIDE = "--inside"


def may_unshare() -> bool:
    """Return whether this user may create a mount namespace."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/dev/shm"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def on_small_disks(
    mounts: Mapping[Path, str], program: Path, *args: str | Path, copies: Mapping[Path, Path] | None = None
) -> list[str | Path]:
    """Return the command, a path and its arguments, that runs `program` on the disks `mounts` (mount point to size).

    `copies`, source to target, are copied out at the end, if the sources exist.
    """
    points = {str(point): size for point, size in mounts.items()}
    targets = {str(source): str(target) for source, target in (copies or {}).items()}
    return [Path(__file__), json.dumps(points), json.dumps(targets), program, *args]


def _main(arguments: list[str]) -> int:
    if arguments[0] != INSIDE:
        os.execvp("unshare", ["unshare", "-rm", sys.executable, __file__, INSIDE, *arguments])
    mounts, copies, *command = arguments[1:]
    for point, size in json.loads(mounts).items():
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", point], check=True)
    status = subprocess.run([sys.executable, "-X", "faulthandler", *command], check=False).returncode
    for source, target in json.loads(copies).items():
        if os.path.exists(source):
            subprocess.run(["cp", "-r", source, target], check=True)
    return status


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
