"""A child has another runtime directory: elsewhere.py PATH FIFO RUNTIME_DIRECTORY. Prints whether locks are held."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import rerun_mp as rr

CHILD = """
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Lock
rr.init("rerun_mp_elsewhere")
rr.log("child", rr.Scalars(1.0))
rr.flush()
probe = current.session().segment.open()
locks = (Lock.GUARD, Lock.WORKER, Lock.PARTICIPANTS, Lock.PRODUCERS)
print("held", *(leases.is_held(probe, lock) for lock in locks), flush=True)
"""


def main() -> None:
    """Log, wait for the FIFO, log again, and run the child."""
    rr.init("rerun_mp_elsewhere")
    rr.save(sys.argv[1])
    rr.log("parent", rr.Scalars(1.0))
    rr.flush()
    print("begun", flush=True)
    Path(sys.argv[2]).read_text()
    rr.log("parent", rr.Scalars(2.0))
    subprocess.run([sys.executable, "-c", CHILD], check=True, env={**os.environ, "XDG_RUNTIME_DIR": sys.argv[3]})


if __name__ == "__main__":
    main()
