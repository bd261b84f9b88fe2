"""A program whose rows find no room: refused_calls.py CAUSE FILE. `log` must neither raise nor wait for ever.

CAUSE: `segment removed`, `file size`, `seccomp`, `shared memory full` or `no collector`. Prints JSON: the
warnings after the cause, the number of refused rows, and their number by cause.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import struct
import sys
import warnings
from pathlib import Path

import numpy as np

import rerun_mp as rr

BEFORE, AFTER = 10, 200
F_OFD_SETLK = 37
X86_64, AARCH64 = 0xC000003E, 0xC00000B7
FCNTL = {"x86_64": (X86_64, 72), "aarch64": (AARCH64, 25)}
EPERM_RETURNED = 0x00050001


def remove_segment() -> None:
    """Do what systemd's RemoveIPC does."""
    for path in Path("/dev/shm").glob("rmp-*"):
        path.unlink()


def limit_file_size() -> None:
    """Let no file grow. The rows are larger than the ring, so each needs a file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def refuse_locks() -> None:
    """Have the kernel refuse locks of open file descriptions, as a sandbox does (seccomp)."""
    architecture, fcntl = FCNTL[os.uname().machine]
    code = (
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 0, 5, architecture),
        (0x20, 0, 0, 0),  # load the number of the call
        (0x15, 0, 3, fcntl),
        (0x20, 0, 0, 24),  # load its second argument
        (0x15, 0, 1, F_OFD_SETLK),
        (0x06, 0, 0, EPERM_RETURNED),
        (0x06, 0, 0, 0x7FFF0000),
    )
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0, "no_new_privs"
    assert libc.prctl(22, 2, program) == 0, os.strerror(ctypes.get_errno())


def fill_shared_memory() -> None:
    """Leave no page of /dev/shm free."""
    file = os.open("/dev/shm/filler", os.O_CREAT | os.O_WRONLY)
    with contextlib.suppress(OSError):
        while True:
            os.write(file, bytes(4096))
    os.close(file)


def start_no_process() -> None:
    """Forbid this user to start another process. Rerun is loaded before, because it starts threads."""
    import rerun  # noqa: F401

    resource.setrlimit(resource.RLIMIT_NPROC, (1, resource.getrlimit(resource.RLIMIT_NPROC)[1]))


CAUSES = {
    "segment removed": remove_segment,
    "file size": limit_file_size,
    "seccomp": refuse_locks,
    "shared memory full": fill_shared_memory,
    "no collector": start_no_process,
}


def main(cause: str, path: str) -> None:
    """Log before and after the cause."""
    if cause == "no collector":
        CAUSES[cause]()
    rr.init("rerun_mp_refused")
    rr.save(path)
    if cause != "no collector":
        for _ in range(BEFORE):
            rr.log("before", rr.Scalars(1.0))
        rr.flush()
        CAUSES[cause]()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        size = 1500 if cause == "file size" else 60
        for number in range(AFTER):
            rr.set_time("number", sequence=number)
            rr.log("after", rr.Image(np.zeros((size, size, 3), np.uint8)))
            rr.send_columns("columns", [rr.TimeColumn("number", sequence=[number])], rr.Scalars.columns(scalars=[1.0]))
    statistics = rr.statistics()
    texts = [str(warning.message) for warning in caught]
    report = {"warnings": texts, "refused": statistics.refused, "by_cause": statistics.refused_here}
    print(json.dumps(report), flush=True)
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (hard, hard))


if __name__ == "__main__":
    main(*sys.argv[1:])
