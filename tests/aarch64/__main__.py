"""The command `python -m tests.aarch64`; see the package."""

from __future__ import annotations

import argparse
import shutil
import sys
import time

from tests.aarch64 import debian, image, machine

NEEDED = {"apt-get": "apt", "dpkg-deb": "dpkg", "cpio": "cpio", "qemu-system-aarch64": "qemu-system-arm", "git": "git"}
"""Commands -> Debian's packages."""
ENDINGS = "tests/faults/test_endings.py"
TESTS = (
    f"{ENDINGS}::test_every_returned_row_is_in_the_file_when_the_program_has_ended[fork-SIGKILL]",
    f"{ENDINGS}::test_killed_workers_lose_no_row_where_processes_run_fences[fork]",
    "tests/model",
    "tests/shm",
    "tests/producer",
    "--deselect=tests/producer/test_hot_path.py",
    "-k=not guard_is_removed",
)
"""pytest's arguments: forked pools of killed workers on barriers and on fences, the models, the shared memory, and the
producers. Left out are pinned numbers of the interpreter's instructions, tests that judge the models themselves,
spawned pools, which start sixteen interpreters, and encoding, which is the same on every processor of this order of
bytes."""
SLOWER = 20
"""Emulated processors take so many times as long. Each time limit of the tests is multiplied by this."""
LIMIT_SECS = 7200.0


def main() -> int:
    """Build what is missing, run the machine, and return pytest's exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.aarch64")
    parser.add_argument("--pages", choices=sorted(debian.KERNELS), default="4k", help="the kernel's size of a page")
    parser.add_argument("--processors", type=int, default=2)
    parser.add_argument(
        "--clock", choices=machine.CLOCKS, default="instructions", help="what the machine's time follows"
    )
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help="arguments for pytest in place of the usual ones")
    given = parser.parse_args()
    missing = sorted(package for command, package in NEEDED.items() if shutil.which(command) is None)
    if missing:
        sys.exit(f"these packages are missing: apt-get install {' '.join(missing)}")
    began = time.monotonic()
    kernel, initrd = image.build(
        given.pages,
        {
            "time": time.time(),
            "environment": {"TESTS_SLOWNESS": str(SLOWER)},
            "pytest": [
                *(given.pytest or TESTS),
                "-ofaulthandler_timeout=3000",
                "--timeout=3600",
                "--durations=20",
                "-v",
            ],
        },
    )
    log = image.CACHE / f"console-{given.pages}"
    status = machine.run(kernel, initrd, clock=given.clock, processors=given.processors, log=log, limit_secs=LIMIT_SECS)
    print(f"{time.monotonic() - began:.0f} s; the console is in {log}")
    return status


if __name__ == "__main__":
    sys.exit(main())
