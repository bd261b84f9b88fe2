"""The first process of the emulated machine: mounts what the tests need, runs pytest, and switches the machine off.

It runs only there: its end would be a kernel panic.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.harness.isolation import raise_loopback_interface

__all__ = ["ENDED"]

INSTRUCTIONS = Path("/instructions.json")
ENDED = "the tests on aarch64 ended with"
"""The last line of the console: these words and pytest's exit status."""
MOUNTS = (
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("tmpfs", "/tmp", "mode=1777"),
)


def main() -> None:
    """Run the tests that the instructions name."""
    os.environ.update(PATH="/usr/sbin:/usr/bin", HOME="/root", LANG="C.UTF-8", TMPDIR="/tmp")
    for kind, place, options in MOUNTS:
        Path(place).mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", kind, "-o", options or "defaults", kind, place], check=True)
    raise_loopback_interface()
    instructions = json.loads(INSTRUCTIONS.read_text(encoding="utf-8"))
    time.clock_settime(time.CLOCK_REALTIME, instructions["time"])
    machine = os.uname()
    print(
        f"{machine.sysname} {machine.release} on {machine.machine}, {os.cpu_count()} processors, pages of "
        f"{os.sysconf('SC_PAGE_SIZE')} bytes, Python {sys.version.split()[0]}",
        flush=True,
    )
    os.environ.update(instructions["environment"])
    code = _run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *instructions["pytest"]])
    print(f"{ENDED} {code}", flush=True)
    Path("/proc/sysrq-trigger").write_text("o", encoding="ascii")
    time.sleep(60)


def _run(command: list[str]) -> int:
    """Run a command, and reap the orphans that become children of the first process."""
    started = os.posix_spawn(command[0], command, os.environ)
    while True:
        pid, status = os.wait()
        if pid == started:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()
