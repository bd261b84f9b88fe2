"""Starts rerun-sdk's servers so that they end with the command that started them, also if that is killed.

Otherwise a server that outlives a killed head has its port, and the head cannot be started again. Any thread may call;
the server ends when that thread ends.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from rerun_mp.hooks.interpreters import find_python, is_frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["start_child_server"]

DIE_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "  # PR_SET_PDEATHSIG, SIGKILL
    "os.getppid() == int(sys.argv[1]) and os.execv(sys.argv[2], sys.argv[2:])"
)
"""Program of a Python that becomes the server. The kernel keeps the setting over exec."""


def start_child_server(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a server that the kernel kills when this thread ends. In a frozen program the server outlives it.

    Raises
    ------
    OSError
        If no process can be started.
    CollectorError
        If there is no Python.
    """
    if not is_frozen():
        command = [find_python(), "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *command]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RERUN_MP_")}
    return subprocess.Popen(
        command, env=environment | {"RUST_LOG": "error"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
