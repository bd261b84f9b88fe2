"""`python -m tests.soak [--seconds S | --kills N] [--seed N] [--only SEED:NUMBER]`: see the package."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.soak.episode import Episode, Totals, run
from tests.soak.files import kind_of_files, run_files


def main() -> int:
    """Run episodes until the time is over or enough workers were killed. Returns 1 if an episode failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Random faults on random load.")
    parser.add_argument("--seconds", type=float, default=None, help="begin no episode after this time")
    parser.add_argument("--kills", type=int, default=None, help="begin no episode once this many workers were killed")
    parser.add_argument("--seed", type=int, default=None, help="default: from the clock")
    parser.add_argument("--only", metavar="SEED:NUMBER", help="run this episode only")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else time.time_ns() % 1_000_000
    number = 0
    if arguments.only:
        seed, number = map(int, arguments.only.split(":"))
    totals, begin = Totals(), time.monotonic()
    failed: list[str] = []
    print(f"seed {seed}", flush=True)
    while True:
        episode = Episode.draw(seed, number)
        kind = kind_of_files(number)
        try:
            if kind is None:
                run(episode, totals)
            else:
                run_files(kind, episode.name, totals)
        except (AssertionError, TimeoutError):
            traceback.print_exc()
            print(f"FAILED: {kind or episode} {episode.name}", flush=True)
            failed.append(episode.name)
        number += 1
        secs = time.monotonic() - begin
        is_over = arguments.seconds is not None and secs >= arguments.seconds
        is_enough = arguments.kills is not None and totals.workers.total() >= arguments.kills
        if arguments.only or is_over or is_enough or (arguments.seconds is None and arguments.kills is None):
            break
    print(f"{totals}; {secs:.0f} s; failed: {' '.join(failed) or 'none'}", flush=True)
    return 1 if failed or not totals.is_clean else 0


sys.exit(main())
