"""Changes what `/proc` shows of a process that was only forked to what it would show after an exec."""

from __future__ import annotations

import array
import ctypes
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["may_show", "show"]

AT_RANDOM = 25
PR_SET_MM, PR_SET_MM_MAP, PR_SET_MM_MAP_SIZE = 35, 14, 15


class MemoryMap(ctypes.Structure):
    """Linux's `struct prctl_mm_map`: the address ranges of a process, and of the texts that `/proc` shows."""

    _fields_ = [
        *[(name, ctypes.c_uint64) for name in ("start_code", "end_code", "start_data", "end_data")],
        *[(name, ctypes.c_uint64) for name in ("start_brk", "brk", "start_stack")],
        *[(name, ctypes.c_uint64) for name in ("arg_start", "arg_end", "env_start", "env_end")],
        ("auxv", ctypes.c_void_p),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_uint32),
    ]


def show(arguments: list[str], environment: list[str]) -> None:
    """Let `/proc` show this command line and environment for this process and its children.

    The address of sixteen random bytes changes too, because an exec chooses it anew.
    """
    global _shown
    auxiliary = array.array("Q", Path("/proc/self/auxv").read_bytes())
    auxiliary[2 * auxiliary[::2].index(AT_RANDOM) + 1] = int.from_bytes(os.urandom(8), sys.byteorder)
    parts = [b"".join(os.fsencode(entry) + b"\0" for entry in entries) for entries in (arguments, environment)]
    _shown = ctypes.create_string_buffer(b"".join(parts))
    with open("/proc/self/stat", "rb") as file:
        # The fields after the name, which may hold spaces; numbered as in proc_pid_stat(5).
        fields = dict(enumerate(map(bytes.decode, file.read().rpartition(b")")[2].split()), 3))
    begin = ctypes.addressof(_shown)
    middle = begin + len(parts[0])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.sbrk.restype = ctypes.c_void_p
    memory = MemoryMap(
        *(int(fields[number]) for number in (26, 27, 45, 46, 47)),
        libc.sbrk(0),
        int(fields[28]),
        *(begin, middle, middle, middle + len(parts[1])),
        auxiliary.buffer_info()[0],
        len(auxiliary) * auxiliary.itemsize,
        0xFFFFFFFF,
    )
    if libc.prctl(PR_SET_MM, PR_SET_MM_MAP, ctypes.byref(memory), ctypes.sizeof(memory), 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_MM_MAP) failed")


_shown: Any = None


def may_show() -> bool:
    """Return whether the kernel lets a process change its command line and environment in `/proc`."""
    size = ctypes.c_uint()
    failed: int = ctypes.CDLL(None).prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, ctypes.byref(size), 0, 0)
    return not failed
