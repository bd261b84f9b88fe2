"""Gives a worker of pytest its own processes, shared memory and loopback interface.

`pytest -n 3` runs three workers at once. Without isolation each sees the sessions, processes and ports of the others,
and searching through them takes longer. `interpreter()` is the command line that starts a worker's Python inside new
Linux namespaces. Where the user may not create namespaces, the workers share the machine. Tests then take longer, but
`leftovers` still finds only the leftovers of its own test.

As a program: `isolation.py ARGUMENTS...` runs the interpreter with these arguments in new namespaces. It is the first
process of the process namespace. When it ends, the kernel kills all processes in the namespace.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
import struct
import subprocess
import sys
from functools import cache

__all__ = ["interpreter", "may_isolate", "raise_loopback_interface"]

INSIDE = "--inside"
# The child of `unshare` is the first process of the namespace; it must not outlive `unshare`.
UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
SET_INTERFACE_FLAGS, GET_INTERFACE_FLAGS, INTERFACE_IS_UP = 0x8914, 0x8913, 0x1
INTERFACE_REQUEST = "16sh14x"


@cache
def may_isolate() -> bool:
    """Return whether this user may create the namespaces and change what is mounted in them."""
    try:
        tried = subprocess.run([*UNSHARE, sys.executable, __file__, INSIDE, "-c", ""], check=False, capture_output=True)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


def interpreter() -> str:
    """Return the command line of a worker's interpreter, quoted for a shell."""
    return shlex.join([sys.executable, __file__])


def _main(arguments: list[str]) -> int:
    if arguments[0] != INSIDE:
        os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, __file__, INSIDE, *arguments])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "none", "/dev/shm"], check=True)
    raise_loopback_interface()
    worker = os.posix_spawn(sys.executable, [sys.executable, *arguments[1:]], os.environ)
    while True:
        # Orphans become children of the first process, which must reap them.
        pid, status = os.wait()
        if pid == worker:
            return os.waitstatus_to_exitcode(status) & 0xFF


def raise_loopback_interface() -> None:
    with socket.socket() as any_socket:
        request = struct.pack(INTERFACE_REQUEST, b"lo", 0)
        flags = struct.unpack(INTERFACE_REQUEST, fcntl.ioctl(any_socket, GET_INTERFACE_FLAGS, request))[1]
        request = struct.pack(INTERFACE_REQUEST, b"lo", flags | INTERFACE_IS_UP)
        fcntl.ioctl(any_socket, SET_INTERFACE_FLAGS, request)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
