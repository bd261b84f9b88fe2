"""Another user attacks the files of a session; see tests/faults/test_privacy.py.

Usage: attack.py PATH... Prints a JSON list of the attempts that succeeded.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable

done: list[str] = []


def attempt(what: str, action: Callable[[], object]) -> None:
    """Make an attempt, and note it if it succeeds."""
    try:
        action()
    except OSError:
        return
    done.append(what)


def plant(path: str) -> None:
    """Create a file in a directory."""
    with open(os.path.join(path, "planted"), "w", encoding="utf-8"):
        pass


def send(path: str) -> None:
    """Send a datagram to a socket."""
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", path)


def attack(path: str) -> None:
    """Try all attacks on one path."""
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
        attempt(f"open {path} {flags}", lambda flags=flags: os.open(path, flags))  # type: ignore[misc]
    attempt(f"chmod {path}", lambda: os.chmod(path, 0o777))
    attempt(f"unlink {path}", lambda: os.unlink(path))
    attempt(f"rename {path}", lambda: os.rename(path, path + ".stolen"))
    attempt(f"link {path}", lambda: os.link(path, "/dev/shm/rmp-stolen"))
    attempt(f"list {path}", lambda: os.listdir(path))
    attempt(f"send to {path}", lambda: send(path))
    attempt(f"plant in {path}", lambda: plant(path))


def read_processes() -> None:
    """Try to read the memory of every other process, and a session's key in its environment."""
    for pid in os.listdir("/proc"):
        for name in ("environ", "mem") if pid.isdigit() and int(pid) != os.getpid() else ():
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    if name == "mem" or b"RERUN_MP_SESSION=" in file.read():
                        done.append(f"/proc/{pid}/{name}")
            except OSError:
                pass


if __name__ == "__main__":
    for path in sys.argv[1:]:
        attack(path)
    read_processes()
    print(json.dumps(done))
