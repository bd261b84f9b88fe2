"""A run in parts: worker processes log episodes, and each episode has a file of its own.

    python examples/long_run.py --out episodes.rrd

The files are episodes.0001.rrd, episodes.0002.rrd and so on. Each is complete when the next one begins.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing

import rerun_mp as rr

EPISODES, WORKERS, STEPS = 3, 4, 500


def explore(task: tuple[int, int]) -> int:
    """Log one worker's path in one episode, and return the number of its steps."""
    episode, worker = task
    for step in range(STEPS):
        angle = 0.02 * step * (episode + 1)
        rr.set_time("step", sequence=step)
        rr.log(f"robots/{worker}", rr.Points3D([[math.cos(angle) + worker, math.sin(angle), 0.01 * step]]))
    return STEPS


def main() -> None:
    """Run the episodes, and say what each file holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="episodes.rrd")
    out = parser.parse_args().out
    rr.init("rerun_example_long_run")
    rr.save(out, rotate=rr.Rotation())
    rr.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        for episode in range(EPISODES):
            pool.map(explore, [(episode, worker) for worker in range(WORKERS)])
            rr.next_episode()
        pool.close()
        pool.join()
    rr.disconnect()
    for part in rr.parts(out):
        print(f"{part.path}: {part.rows} rows")


if __name__ == "__main__":
    main()
