"""A week of a robot, on a clock that runs faster: what stays, what is counted, and what grows.

Each hour has a part in a file of which the last day stays. A window has the last six hours. The collector is killed
every ten hours, and each of its successors goes on.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.encoding.rrd_files import is_complete
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.rotation import Rotation, closed_parts, part_list_path, read_part_list
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_clocks import HandedClock
from tests.collector.store.made_stores import numbers_in, put
from tests.harness.recordings import verify

HOUR = 3600.0
DAY = 24 * HOUR
WINDOW = 6 * HOUR
KILLED_EVERY = 10 * HOUR
ROTATIONS = {"day": Rotation(seconds=HOUR, keep_seconds=DAY), "window": Rotation(keep_last=WINDOW)}
MAX_PARTS = {"day": 26, "window": 8}
"""Complete parts that stay, and one more until the next look."""


class Run:
    """A file, and the collectors that write it one after the other."""

    def __init__(self, name: str, directory: Path, clock: HandedClock) -> None:
        self.name = name
        self.path = directory / name / "run.rrd"
        self.spool = directory / f"spool-{name}"
        self.path.parent.mkdir()
        self.spool.mkdir()
        self._clock = clock
        self.begin_life()

    def begin_life(self) -> None:
        """Go on as the successor of a collector that was killed."""
        self.store = RecordingStore(RECORDING, self.spool, NONCE, clock=self._clock)
        first = str(self.path.with_suffix(".0001.rrd"))
        rotation = ROTATIONS[self.name].values
        self.store.set_files([SinkSpec("file", first, wanted=str(self.path), rotation=rotation)])

    def log(self, number: int) -> None:
        """Store one row."""
        put(self.store, [number])
        self.store.rotate_if_due()

    def parts(self) -> list[Path]:
        """Return the files of the parts, in their order."""
        return sorted(self.path.parent.glob("run.*.rrd"), key=lambda part: int(part.suffixes[-2][1:]))

    def check_bounds(self, largest: int) -> None:
        """Check that neither disk nor memory nor accounts hold more than what stays. `largest`: bytes of a part."""
        files = [*self.path.parent.iterdir(), *self.spool.rglob("*")]
        size = sum(file.stat().st_size for file in files if file.is_file())
        journal = self.store._journal
        assert len(self.parts()) <= MAX_PARTS[self.name] + 1
        assert size < (MAX_PARTS[self.name] + 4) * largest + 300_000
        assert len(journal.parts) <= 256 + 4
        assert journal.series is not None
        assert len(journal.series.closed) <= MAX_PARTS["window"]
        assert Path(part_list_path(str(self.path))).stat().st_size < 400 * (MAX_PARTS[self.name] + 1)


@pytest.mark.parametrize(
    ("days", "step_secs"),
    [(2, 1200.0), pytest.param(7, 60.0, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])],
)
def test_a_week_keeps_its_bounds_and_loses_no_row_that_should_stay(days: int, step_secs: float, tmp_path: Path) -> None:
    clock = HandedClock()
    runs = [Run(name, tmp_path, clock) for name in ROTATIONS]
    rows = int(days * DAY / step_secs)
    largest = 12_000 + int(4000 * HOUR / step_secs)
    for number in range(rows):
        clock.go(step_secs)
        for run in runs:
            if number and number % int(KILLED_EVERY / step_secs) == 0:
                run.begin_life()
            run.log(number)
            if number % int(6 * HOUR / step_secs) == 0 and number:
                run.check_bounds(largest)
    for run, stays in zip(runs, (DAY, WINDOW), strict=True):
        finish(run.store)
        parts = run.parts()
        kept = [number for part in parts for number in numbers_in(part)]
        removed = read_part_list(str(run.path)).removed_rows
        assert kept == list(range(removed, rows)), "a row is lost, there twice, or not counted"
        assert len(kept) >= stays / step_secs, "a row that should stay has been removed"
        assert len(kept) <= (stays + 2 * HOUR) / step_secs + 2
        assert [part.path for part in closed_parts(str(run.path))] == [str(part) for part in parts]
        for part in parts:
            assert is_complete(part)
        for part in parts if days == 7 else (parts[0], parts[-1]):
            verify(part)
