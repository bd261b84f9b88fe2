"""A member of a session with a name: logs 50 rows, says so, and goes on until SIGTERM.

Usage: named_member.py NAME LIFE FILE
"""

from __future__ import annotations

import signal
import sys

import rerun_mp as rr

ROWS = 50


def main() -> None:
    """Log, and wait."""
    name, life, out = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    rr.init("rerun_mp_robot", session="robot-7")
    rr.save(out)
    for step in range(ROWS):
        rr.set_time("step", sequence=step)
        rr.log(f"{name}/{life}", rr.Scalars(float(step)))
    print("logged", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
