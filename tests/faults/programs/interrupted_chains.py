"""A program is interrupted 100 times while it logs large images. Usage: interrupted_chains.py FILE.

Prints the number of calls that returned, and the number of interrupts.
"""

from __future__ import annotations

import signal
import sys

import numpy as np

import rerun_mp as rr


def main(path: str) -> None:
    """Log under a timer whose signal raises KeyboardInterrupt."""
    rr.init("rerun_mp_interrupted")
    rr.save(path)
    image = rr.Image(np.zeros((1040, 1000), np.uint8))
    rr.log("warm", image)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    returned = interrupted = 0
    while interrupted < 100:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.0001 * (interrupted % 20))
            while True:
                rr.log("image", image)
                returned += 1
        except KeyboardInterrupt:
            interrupted += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    rr.log("last", image)
    print(returned, interrupted)


if __name__ == "__main__":
    main(sys.argv[1])
