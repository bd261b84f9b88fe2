"""Worker processes log all the time; the program records only the moments that it wants.

python examples/pause.py --out moments.rrd
"""

from __future__ import annotations

import argparse
import math
import multiprocessing

import rerun_mp as rr

ROUNDS, WORKERS, STEPS = 6, 3, 200


def turn(task: tuple[int, int]) -> int:
    """Log one wheel's turn, whether the recording is paused or not, and return the number of its steps."""
    round_number, wheel = task
    for step in range(STEPS):
        rr.set_time("step", sequence=STEPS * round_number + step)
        rr.log(f"wheels/{wheel}", rr.Scalars(math.sin(0.05 * step + wheel)))
    return STEPS


def main() -> None:
    """Record every second round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="moments.rrd")
    rr.init("rerun_example_pause")
    rr.save(parser.parse_args().out)
    logged = recorded = 0
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        for round_number in range(ROUNDS):
            if round_number % 2:
                rr.pause()
            else:
                rr.resume()
            steps = sum(pool.map(turn, [(round_number, wheel) for wheel in range(WORKERS)], chunksize=1))
            logged += steps
            recorded += 0 if rr.is_paused() else steps
        pool.close()
        pool.join()
    print(f"{logged} calls, {recorded} of them while the recording was not paused")


if __name__ == "__main__":
    main()
