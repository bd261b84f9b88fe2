"""The duration of `log()`, p50, p99 and p99.9, beside rerun-sdk; for an image also beside a copy of its bytes.

Images are paced, so that the ring is never full and no call waits. The other kinds run as fast as they can, so that the
collector is busy all the time. The worker alternates between calls and copies. A copy moves the same bytes into shared
pages that are mapped already and, like the ring, too large for the caches.

Other machines on the same host slow down a core of a virtual machine, and nothing in /proc says so. A text's call then
takes 1.5 to 1.65 us at p50 instead of 0.96, for seconds or minutes, and on an idle core a plain Python loop takes 57 to
111 ns a round, in processor time. So a difference between two runs says nothing about the code. Measure two states of
the code turn about, at least five times each, and compare the fastest runs as well as the medians.

An image's call costs 1.22 to 1.33 copies at this pace, 1.30 in the median of six turns; the target is 1.2. Three calls
of four take 226 us where a copy takes 186 (1.22). Every fourth call claims eight slots, which takes another 220 us. So
the p50 of all calls is the 67th percentile of the other three, 0.12 copies more. Claims of 12 or 16 slots do not help:
the producers then go round in more memory, and their calls and the copies beside them get slower.

The call's own copy takes 0.85 of a copy: the ring's slots are reused soon. (Copies that go round in 8 MB instead of 64
take as long.) The rest, 59 us, is code and data that no cache of the processor holds after a pause and the copy of
0.9 MB: `log` and its lane 9, the mutex 9, the format and the known message 7, the fork guard and `is_finalizing` 3, the
marks 3, the times 4, the list of spare slots 4, the parts of the chain 5, the row id 2, the 2 KB before the pixels 5,
commit and seal 1, the attention word 2, the return 4. Every function, object and page on the way costs 1 to 5 us then,
so the append is one function (`producer/repeated_blobs.py`): as six functions it took 70 us more.

Without the mutex, which keeps out other threads and `close`, a call takes 3 to 13 us less. Calls of `acquire` and
`release` instead of `with` make no difference. Nor does it help to leave the 2 KB in a slot that this process reuses.
The doorbell takes 20 us, in one call of twelve. A call has page faults only when its process uses a slot for the first
time, and one call of fifty loses its core to another process: neither shows in the p50.
"""

from __future__ import annotations

from benchmarks.plan import Plan
from benchmarks.report import Section, Target, ratio_text, times_text
from benchmarks.rounds import Runner, Summary, medians
from benchmarks.workloads import LOGGERS

__all__ = ["run"]

IMAGE_PACE_SECS = 0.01
P50, P999 = 0, 2
TARGETS = {"scalars": (22.0, 25.0), "text": (16.0, None), "points": (5.0, None)}
"""Minimum ratio of rerun's p50 to ours, and the ratio that we aim for."""
MAX_COPIES = 1.2
"""Maximum p50 of an image's call, in copies of its bytes."""
NOTES = (
    "Microseconds, p50 / p99 / p99.9 of 2 workers; `log()` alone. Whole: p50 of `set_time`, making the archetype and "
    "`log()` together. Each worker logs an image every 10 ms; the other kinds without a pause."
)


def run(runner: Runner, plan: Plan) -> Section:
    """Measure each kind of row."""
    header = ("work", "rerun_mp", "rerun-sdk", "p50", "p99.9", "whole, rerun_mp", "rerun-sdk", "ratio", "others, cores")
    section = Section("A call", header, notes=NOTES)
    for kind in plan.kinds:
        pace_secs = IMAGE_PACE_SECS if kind == "image" else 0.0
        jobs = [plan.timed(carrier, kind, pace_secs=pace_secs) for carrier in LOGGERS]
        taken = runner.turns(jobs, plan.turns)
        ours, theirs = (medians(taken[job]) for job in jobs)
        _add(section, kind, ours, theirs)
    return section


def _add(section: Section, kind: str, ours: Summary, theirs: Summary) -> None:
    ratios = [their / our for our, their in zip(ours["logs"], theirs["logs"], strict=True)]
    wholes = ours["statements"][P50], theirs["statements"][P50]
    section.rows.append(
        (
            kind,
            times_text(ours["logs"]),
            times_text(theirs["logs"]),
            ratio_text(ratios[P50]),
            ratio_text(ratios[P999]),
            times_text(wholes[:1]),
            times_text(wholes[1:]),
            ratio_text(wholes[1] / wholes[0]),
            f"{ours.others} / {theirs.others}",
        )
    )
    section.figures[kind] = {
        "rerun_mp": {"log": ours["logs"], "whole": wholes[0]},
        "rerun": {"log": theirs["logs"], "whole": wholes[1]},
    }
    if kind in TARGETS:
        at_least, aim = TARGETS[kind]
        section.targets.append(Target(f"{kind}: p50 of the call, rerun's over ours", ratios[P50], at_least, aim=aim))
    if kind == "scalars":
        section.targets.append(Target("scalars: p99.9 of the call, rerun's over ours", ratios[P999], 40.0))
    if kind == "image":
        copies = ours["logs"][P50] / ours["copies"][P50]
        section.rows.append(("a copy of its bytes", times_text(ours["copies"]), *[""] * 7))
        section.targets.append(Target("image: p50 of the call over a copy of its bytes", copies, at_most=MAX_COPIES))
        section.figures[kind]["copies"] = copies
