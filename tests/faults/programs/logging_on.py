"""A parent and two children log until a file exists; see tests/faults/test_orphans.py.

Usage: logging_on.py FILE STOP. Ends when the file STOP exists. Each process prints its entity and its number of rows.
SIGPIPE has its default action, as in a program in C.
"""

from __future__ import annotations

import os
import signal
import sys

import rerun_mp as rr

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    rr.init("rerun_mp_killed")
    rr.save(sys.argv[1])
    name = "parent"
    for number in range(2):
        if os.fork() == 0:
            name = f"child/{number}"
            break
    step = 0
    while not os.path.exists(sys.argv[2]):
        for _ in range(20):
            rr.set_time("step", sequence=step)
            rr.log(name, rr.Scalars(float(step)))
            step += 1
    # A single write, because three processes share the output.
    os.write(1, f"{name} {step}\n".encode())
    if name != "parent":
        os._exit(0)
    for _ in range(2):
        os.wait()
