"""A program of three processes that log at the same time. Usage: small_producers_table.py FILE.

Each child prints `logged` or its error.
"""

from __future__ import annotations

import os
import sys
import warnings

from rerun.error_utils import RerunWarning

import rerun_mp as rr


def main(path: str) -> None:
    """Log, and fork two children one after the other. They log and stay alive."""
    rr.init("rerun_mp_entries")
    rr.save(path)
    hold, release = os.pipe()
    ready, is_ready = os.pipe()
    rr.log("parent", rr.Scalars(1.0))
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            os.close(release)
            warnings.simplefilter("error", RerunWarning)
            try:
                rr.log(f"child/{number}", rr.Scalars(1.0))
                print("logged", flush=True)
            except rr.RingFullError as error:
                print("raised:", error, flush=True)
            except RerunWarning as warning:
                print("warned:", warning, flush=True)
            os.write(is_ready, b"x")
            os.read(hold, 1)
            os._exit(0)
        os.read(ready, 1)
        children.append(child)
    os.close(release)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1])
