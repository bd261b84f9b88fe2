"""The cost of starting: the import, `init()`, and the first row of a forked child, beside rerun-sdk.

A forked child copies each page of the interpreter's memory that it touches, because even reading an object counts a
reference. Its first `log()` registers the child, claims a slot and opens a table: about 110 functions of ours, whose
objects lie on 350 to 375 pages (Python 3.11; 3.12 and 3.13 330 to 355; the directory's name alone moves it by 20). Some
270 pages are copied: 195 of Python's arenas, 55 of the C heap, 17 of libpython's data. They lie scattered, in 210
places. The rest are mapped anew: libraries, and the ring.

What a page costs is the machine's, so the table says it. Where a hypervisor handles each page fault, a copy takes 3.5
to 4.2 us, also in a loop of C over adjacent pages, and the copies make up 1.3 to 1.5 ms of 2.3; 1 ms would then be all
that 155 pages take. A child that has copied every page before takes 0.8 to 1 ms, 0.2 of it for system calls. The time
is spread evenly: none of 33 steps takes more than a tenth of it. The largest are to register the child (0.55 ms), to
tell the collector how to learn of its end (0.2), to find the recording, its times and its shape (0.45), to claim a slot
(0.17) and to open a table in it (0.3). 80 of the pages hold code, 65 functions and types; new code objects that lie
together save none of them, and six short functions less save four pages. The founder has reserved the pages of the
first four slots; to reserve those of a later one takes 0.13 ms more. What saved pages: no closures, generators and
exceptions on the way, no zeros that need not be written, and a rehearsal before the first fork
(`session/rehearsal.py`). For comparison, the first record of `logging` in such a child copies 124 pages and takes 0.5
ms, and a JSON text that is written and parsed copies 65. The second `log()` takes 0.03 ms. A garbage collection in the
first call would copy 700 pages more, so the young garbage is collected before each fork. The collector that the call
wakes may run on the child's processor first, which adds its sweep of 1 to 2 ms to the call, but not to its processor
time; SCHED_BATCH for the collector makes no clear difference to that, nor to other calls, rates and latencies.

Each turn measures in a fresh process; the two packages take turns. A turn is left out if other programs used more than
a tenth of the machine right before it, unless all turns are disturbed. Usage: `python -m benchmarks.start_up [TURNS]`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
MAX_FOREIGN = 0.1

PROGRAM = """
import mmap, os, resource, sys, time
package, path = sys.argv[1:]
begin = time.perf_counter()
if package == "rerun":
    import rerun as rr
else:
    import rerun_mp as rr
imported = time.perf_counter()
rr.init("start_up")
initialised = time.perf_counter()
rr.save(path)
reader, writer = os.pipe()
spare = mmap.mmap(-1, 1000 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
starts = range(0, len(spare), mmap.PAGESIZE)
for start in starts:
    spare[start] = 1
if os.fork() == 0:
    forked = time.perf_counter()
    row = rr.Scalars(1.0)
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    made = time.perf_counter()
    rr.log("first", row)
    logged = time.perf_counter()
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - pages
    begin = time.perf_counter()
    for start in starts:
        spare[start] = 2
    copied = (time.perf_counter() - begin) / len(starts)
    os.write(writer, f"{made - forked} {logged - made} {pages / 1000} {copied * 1000}".encode())
    os._exit(0)
os.wait()
print(imported - begin, initialised - imported, os.read(reader, 100).decode())
sys.stdout.flush()
if package == "rerun":
    os._exit(0)
"""
"""It prints seconds, and thousands of pages.

The parent logs nothing before it forks, so that the child inherits no warm caches.
"""

FIGURES = {
    "import": "the import",
    "init": "init()",
    "archetype": "a forked child's first archetype",
    "log": "a forked child's first log()",
    "pages": "pages that this log() touches first",
    "copy": "us to copy a page of the parent",
}
TARGETS = {
    "import": "at most 0.3 of rerun's",
    "init": "at most 10 ms",
    "archetype": "rerun's own code",
    "log": "at most 1 ms",
    "pages": "for comparison",
    "copy": "of the machine",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """The measurements of one process."""

    millis: dict[str, float]
    foreign: float
    """Share of the machine that other programs used right before, from 0 to 1."""


def main() -> None:
    """Measure and print."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    taken: dict[str, list[Turn]] = {"rerun": [], "rerun_mp": []}
    with tempfile.TemporaryDirectory() as directory:
        # The first turn of each package reads the disk, and does not count.
        for package in ("rerun", "rerun_mp") * (turns + 1):
            taken[package].append(measure(package, directory))
    quiet = {package: _quiet(all_turns[1:]) for package, all_turns in taken.items()}
    for package, chosen in quiet.items():
        foreign = median(turn.foreign for turn in chosen)
        print(f"{package}: {len(chosen)} of {turns} turns, before which others used {foreign:.0%} of the machine")
    print(f"{'median in ms unless it says so':36}{'rerun':>10}{'rerun_mp':>10}{'ratio':>8}  target")
    for figure, what in FIGURES.items():
        theirs, ours = (median(turn.millis[figure] for turn in quiet[package]) for package in ("rerun", "rerun_mp"))
        print(f"{what:36}{theirs:10.2f}{ours:10.2f}{ours / theirs:8.2f}  {TARGETS[figure]}")


def measure(package: str, directory: str) -> Turn:
    """Run one process, after the collector of the previous one has ended."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": directory, "XDG_CACHE_HOME": directory}
    while os.path.exists(os.path.join(directory, "rerun_mp")):
        time.sleep(0.01)
    foreign = _busy_share(0.2)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, package, os.path.join(directory, f"{package}.rrd")],
        env=environment,
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
    )
    millis = dict(zip(FIGURES, (1000 * float(text) for text in done.stdout.split()), strict=True))
    return Turn(millis, foreign)


def _quiet(turns: list[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.foreign <= MAX_FOREIGN] or turns


def _busy_share(secs: float) -> float:
    """Sleep, and return the share of the machine that was busy, from 0 to 1."""
    begin = _processor_ticks()
    time.sleep(secs)
    busy, total = (after - before for before, after in zip(begin, _processor_ticks(), strict=True))
    return busy / max(total, 1)


def _processor_ticks() -> tuple[int, int]:
    """Return the busy ticks and all ticks since the machine was started."""
    fields = [int(text) for text in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


if __name__ == "__main__":
    main()
