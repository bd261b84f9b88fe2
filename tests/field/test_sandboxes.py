"""A sandbox that refuses a call makes `init` say which call, and leaves nothing behind; or rerun_mp does without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import Row

ROWS = 10
PROGRAM = """
import ctypes, os, struct, sys
import rerun_mp as rr

def refuse(number, argument, value):
    "Let system call `number` fail with EINVAL if its argument has this value (None: whatever it has)."
    test = [(0x20, 0, 0, 16 + 8 * argument), (0x15, 0, 1, value)] if value is not None else []
    code = [(0x20, 0, 0, 0), (0x15, 0, len(test) + 1, number), *test, (6, 0, 0, 0x00050016), (6, 0, 0, 0x7fff0000)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, program) == 0, os.strerror(ctypes.get_errno())

is_arm = os.uname().machine == "aarch64"
refuse(*{"madvise": (233 if is_arm else 28, 2, int(sys.argv[3] or 0)),
         "membarrier": (283 if is_arm else 324, 0, None)}[sys.argv[2]])
try:
    rr.init("rerun_mp_sandbox")
except rr.ResourceError as error:
    print(error)
    sys.exit()
rr.save(sys.argv[1])
for number in range(10):
    rr.log("row", rr.Scalars(number))
"""


@pytest.mark.parametrize(("advice", "name"), [(18, "MADV_WIPEONFORK"), (10, "MADV_DONTFORK")])
def test_a_refused_advice_is_an_error_of_init_that_names_it(
    advice: int, name: str, run_python: RunPython, tmp_path: Path
) -> None:
    done = run_python(PROGRAM, tmp_path / "run.rrd", "madvise", str(advice), fresh=True).check()
    assert f"refuses madvise({name}): Invalid argument" in done.stdout


@pytest.mark.parametrize("order", [None, "barriers"])
def test_nothing_is_lost_without_membarrier(
    order: str | None, run_python: RunPython, tmp_path: Path, rows_of: Callable[..., list[Row]]
) -> None:
    path = tmp_path / "run.rrd"
    done = run_python(PROGRAM, path, "membarrier", "", env={"RERUN_MP_MEMORY_ORDER": order}, fresh=True).check()
    assert done.stderr == ""
    assert len(rows_of(path)) == ROWS
