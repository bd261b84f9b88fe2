"""Usage: output.py FILE GATE. Writes lines in many ways, and prints the process id of each writer after all.

A shell that outlives the program writes a line when the file GATE exists.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

import rerun_mp as rr
from rerun_mp.integrations.output import capture_output
from tests.harness.programs import wait_until

LINES = 9
"""Lines that are captured before the reader is killed. It loses a line if it is killed between reading and logging."""


def write_and_die(number: int) -> None:
    """Write a line of Python and one of C, and be killed."""
    capture_output()  # spawned workers buffer lines from here on
    print("worker", number)
    ctypes.CDLL(None).puts(b"C in worker %d" % number)
    os.kill(os.getpid(), signal.SIGKILL)


def logged_by_others() -> dict[int, int]:
    """Return the rows of each other process that lives: the reader, once it has logged."""
    return {one.pid: one.logged for one in rr.statistics().producers if one.is_live and one.pid != os.getpid()}


def main() -> None:
    """Write before, during and after a capture, whose reader is killed once."""
    rr.init("rerun_mp_output")
    rr.save(sys.argv[1])
    print("before")
    with capture_output("said") as capture:
        assert capture_output() is capture
        print("from Python")
        print("from standard error", file=sys.stderr)
        print("10 %\r20 %\r30 %")
        ctypes.CDLL(None).puts(b"from C")
        workers: list[BaseProcess] = [
            get_context("fork").Process(target=write_and_die, args=(1,)),
            get_context("spawn").Process(target=write_and_die, args=(1,)),
        ]
        for worker in workers:
            worker.start()
            worker.join()
        subprocess.run(["sh", "-c", "echo from a shell"], check=True)
        wait_until(lambda: sum(logged_by_others().values()) == LINES, what="the lines in the recording")
        [reader] = logged_by_others()
        os.kill(reader, signal.SIGKILL)
        print("after the reader's death")
        late = 'while [ ! -e "$0" ]; do sleep 0.02; done; echo late'
        subprocess.Popen(["sh", "-c", late, sys.argv[2]], start_new_session=True)
        sys.stdout.write("without an end")
    print("\nafter")
    print("writers", os.getpid(), *(worker.pid for worker in workers))


if __name__ == "__main__":
    main()
