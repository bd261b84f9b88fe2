"""Runs a program in a container: with processes and a /dev/shm of its own, and all other files shared.

As a program: `containers.py PROGRAM ARGUMENTS...`. The program is a child of the container's first process, which waits
for the program and then until the collector has ended, as a container with an init process does. A container that is
killed ends at once, with all its processes and its shared memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

__all__ = ["in_container", "may_contain"]

INSIDE = "--inside"
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
MOUNT = ["mount", "-t", "tmpfs", "-o", "mode=1777", "none", "/dev/shm"]


@cache
def may_contain() -> bool:
    """Return whether this user may create the namespaces and change what is mounted in them."""
    try:
        return subprocess.run([*UNSHARE, *MOUNT], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def in_container(program: Path, *args: str | Path) -> list[str | Path]:
    """Return the command, a path and its arguments, that runs `program` in a container of its own."""
    return [Path(__file__), program, *args]


def _main(arguments: list[str]) -> int:
    if arguments[0] != INSIDE:
        os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, __file__, INSIDE, *arguments])
    subprocess.run(MOUNT, check=True)
    started = os.posix_spawn(sys.executable, [sys.executable, "-X", "faulthandler", *arguments[1:]], os.environ)
    status = 1
    while True:
        # Orphans, such as the collector, become children of the first process.
        try:
            pid, code = os.wait()
        except ChildProcessError:
            return status
        if pid == started:
            status = os.waitstatus_to_exitcode(code) & 0xFF


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
