"""A black box: the file keeps the last seconds, and the worker that sees a fault writes them into a file of its own.

    python examples/black_box.py --out black_box.rrd --incident incident.rrd

The files black_box.0001.rrd and so on are the window. They stay if every process is killed.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time

import rerun_mp as rr

JOINTS = 3
PERIOD_SECS = 0.005


def move(joint: int, seconds: float, incident: str) -> int:
    """Log one joint's torque for so long. The last joint hits something in the end, and asks for a snapshot."""
    end = time.monotonic() + seconds
    step = 0
    while time.monotonic() < end:
        rr.set_time("step", sequence=step)
        rr.log(f"joints/{joint}", rr.Scalars(math.sin(0.05 * step + joint)))
        step += 1
        time.sleep(PERIOD_SECS)
    if joint == JOINTS - 1:
        rr.log(f"joints/{joint}", rr.Scalars(40.0))
        rr.log("faults", rr.TextLog(f"joint {joint} hit something", level="ERROR"))
        rr.snapshot(incident)
    return step


def main() -> None:
    """Let the joints move, and say how many rows the window still has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="black_box.rrd")
    parser.add_argument("--incident", default="incident.rrd")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--window", type=float, default=5.0)
    given = parser.parse_args()
    rr.init("rerun_example_black_box")
    rr.save(given.out, rotate=rr.Rotation(keep_last=given.window))
    rr.log("robot", rr.TextDocument("an arm of three joints"), static=True)
    with multiprocessing.get_context("fork").Pool(JOINTS) as pool:
        steps = pool.starmap(move, [(joint, given.seconds, given.incident) for joint in range(JOINTS)], chunksize=1)
        pool.close()
        pool.join()
    rr.disconnect()
    kept = sum(part.rows for part in rr.parts(given.out))
    print(f"{sum(steps)} torques were logged; the last {given.window:g} s are {kept} rows; see {given.incident}")


if __name__ == "__main__":
    main()
