"""Logs rows, some of them deadly: with_victims.py PATH VICTIM... Prints figures of the account and the header."""

from __future__ import annotations

import json
import sys

import pyarrow as pa

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.session.accounts import read_accounts
from rerun_mp.shm.layout import Header

KINDS = ("table", "columns", "frame")


def row(kind: str) -> rr.AsComponents:
    """Return an archetype whose rows go into a table of scalars, a table of columns, or frames: tables hold no null."""
    if kind == "table":
        return rr.Scalars(1.0)
    if kind == "columns":
        return rr.Boxes3D(half_sizes=[[1, 1, 1]])
    return rr.AnyValues(value=pa.array([1, None]))


def main() -> None:
    """Log before and after the deadly rows, and again after the figures are printed."""
    rr.init("rerun_mp_quarantine")
    rr.save(sys.argv[1])
    victims = sys.argv[2:]
    for step in range(50):
        rr.set_time("step", sequence=step)
        for kind in KINDS:
            rr.log(kind, row(kind))
        for victim in victims:
            if step == 25:
                rr.log(victim, row(victim.partition("/")[2]))
    rr.flush(timeout_sec=100)
    joined = current.session()
    assert joined is not None
    (account,) = read_accounts(joined.segment)
    words = joined.segment.ring.words
    seen = [account.delivered, account.dropped_by_damage, words[Header.DAMAGED_SLOTS], words[Header.WORKER_LIVES]]
    print(json.dumps(seen))
    for step in range(50, 60):
        rr.log("after", rr.Scalars(float(step)))


if __name__ == "__main__":
    main()
