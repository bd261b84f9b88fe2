"""The emulated machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from threading import Timer

from tests.aarch64.guest import ENDED

__all__ = ["run"]

PROCESSOR = "cortex-a76"
"""It has the atomic instructions and pages of 16 KiB. A newer one would sign pointers, which takes long to emulate."""
MEMORY = "6G"
"""The files take 1 GB, and as much again while the kernel unpacks them. qemu takes what the machine has touched."""
KERNEL_ARGUMENTS = (
    "console=ttyAMA0 rdinit=/init panic=-1"
    # The kernel prints nothing: it would complain when a busy host lets an emulated processor stand still.
    " loglevel=1 nosoftlockup rcupdate.rcu_cpu_stall_suppress=1"
)
QEMU = (
    *("qemu-system-aarch64", "-machine", "virt", "-cpu", PROCESSOR, "-m", MEMORY),
    *("-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-append", KERNEL_ARGUMENTS),
)
CLOCKS = {
    "host": ("-accel", "tcg,thread=multi"),
    "instructions": ("-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off"),
}
"""What the machine's time follows: the host's clock, or the instructions that the processors have run, 2 ns each.

With the host's clock the processors run at the same time. With instructions they take turns. Then a wait takes no time,
and a host that is busy cannot make the machine run into a limit of time."""


def run(kernel: Path, initrd: Path, *, clock: str, processors: int, log: Path, limit_secs: float) -> int:
    """Run the machine until it switches itself off. Prints its console, and returns the exit status of pytest.

    Raises
    ------
    SystemExit
        If the machine ends without a result, as it does when it has run for `limit_secs`.
    """
    command = [*QEMU, "-kernel", str(kernel), "-initrd", str(initrd), "-smp", str(processors), *CLOCKS[clock]]
    result: int | None = None
    with (
        log.open("w", encoding="utf-8") as copy,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
        ) as qemu,
    ):
        assert qemu.stdout is not None
        limit = Timer(limit_secs, qemu.kill)
        limit.start()
        try:
            for line in qemu.stdout:
                print(line, end="", flush=True)
                copy.write(line)
                copy.flush()
                if found := re.search(f"{ENDED} (-?[0-9]+)", line):
                    result = int(found[1])
        finally:
            limit.cancel()
            qemu.kill()
    if result is None:
        raise SystemExit(f"the machine ended without a result, or was ended after {limit_secs:.0f} s; see {log}")
    return result
