"""One part of a robot, started by itself: it logs into the session `robot-7` until SIGTERM.

    rerun-mp serve robot-7 --save robot.rrd &
    python examples/named_session/part.py camera &
    python examples/named_session/part.py planner &

The parts and `serve` may start in any order, and each may be started again.
"""

from __future__ import annotations

import math
import signal
import sys
import threading

import rerun_mp as rr

PERIOD_SECS = 0.1


def main() -> None:
    """Log a number ten times a second."""
    name = sys.argv[1]
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    rr.init("rerun_example_robot", session="robot-7")
    step = 0
    while not ended.wait(PERIOD_SECS):
        rr.log(f"robot/{name}", rr.Scalars(math.sin(0.1 * step)))
        step += 1
    print(f"{name}: {step} rows", flush=True)


if __name__ == "__main__":
    main()
