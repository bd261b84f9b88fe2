"""Logs in a process that may not make a system call: sandboxed.py FILE CALL ARGUMENT. Prints the error of `init`.

CALL is `madvise`, which fails if its advice is ARGUMENT, or `membarrier`, which always fails.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

import rerun_mp as rr

ROWS = 10
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL_WITH_EINVAL = 0x7FFF0000, 0x00050016


def refuse(number: int, argument: int, value: int | None) -> None:
    """Let system call `number` fail with EINVAL if its argument has this value (None: with any arguments)."""
    test = [(LOAD, 0, 0, 16 + 8 * argument), (JUMP_IF_EQUAL, 0, 1, value)] if value is not None else []
    code = [(LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, len(test) + 1, number), *test]
    code += [(RETURN, 0, 0, FAIL_WITH_EINVAL), (RETURN, 0, 0, ALLOW)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) == 0, os.strerror(ctypes.get_errno())


def main(path: str, call: str, argument: str) -> None:
    is_arm = os.uname().machine == "aarch64"
    if call == "madvise":
        refuse(233 if is_arm else 28, 2, int(argument))
    else:
        refuse(283 if is_arm else 324, 0, None)
    try:
        rr.init("rerun_mp_sandbox")
    except rr.ResourceError as error:
        print(error)
        return
    rr.save(path)
    for number in range(ROWS):
        rr.log("row", rr.Scalars(number))


if __name__ == "__main__":
    main(*sys.argv[1:])
