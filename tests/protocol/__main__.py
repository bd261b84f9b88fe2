"""`python -m tests.protocol`: run every check and print a table; the status is 1 if anything is not as expected."""

from __future__ import annotations

import sys

from tests.protocol.checks import CHECKS
from tests.protocol.spin import missing_programs, run


def main() -> int:
    """Run every check of which the model's name is among the arguments, or every one."""
    missing = missing_programs()
    if missing is not None:
        print(f"The models are checked with {missing}, not installed here (Debian: apt-get install spin gcc).")
        return 1
    surprises = []
    chosen = [check for check in CHECKS if not sys.argv[1:] or check.model in sys.argv[1:]]
    width = max((len(check.name) for check in chosen), default=0)
    print(f"{'model, variant':{width}}  {'expected':8}  {'found':10}  {'states':>9}  {'depth':>5}  {'seconds':>7}")
    total = 0.0
    for check in chosen:
        result = run(check)
        total += result.secs
        expected = "holds" if check.breaks is None else "fails"
        print(
            f"{check.name:{width}}  {expected:8}  {result.outcome.value:10}  {result.states:9,}  {result.depth:5}  "
            f"{result.secs:7.1f}",
            flush=True,
        )
        surprise = result.surprise(check)
        if surprise is not None:
            surprises.append(surprise)
    print(f"{len(chosen)} checks, {len(surprises)} surprises, {total:.0f} s of one core")
    for surprise in surprises:
        print(f"\n{surprise}")
    return 1 if surprises or not chosen else 0


sys.exit(main())
