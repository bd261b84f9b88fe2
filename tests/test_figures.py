"""The session's own figures: the recordings have them if the settings ask, and the blueprint shows each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from rerun_mp import figures
from tests.conftest import RunPython, StartPython
from tests.harness.programs import ROOT, wait_until
from tests.harness.recordings import verify
from tests.harness.rerun_names import RrdReader

PROGRAM = ROOT / "tests" / "programs" / "session_figures.py"
WAIT_SECS = 60.0


class Series(NamedTuple):
    """One figure over time."""

    nanos: list[int]
    """Time of each value, on the timeline `log_time`."""
    values: list[float]


def series_of(path: Path) -> dict[str, Series]:
    """Return the figures of a recording, which may be growing, by their names."""
    values: dict[str, list[tuple[int, float]]] = {}
    for chunk in RrdReader(path).stream():
        if chunk.entity_path.startswith("/__rerun_mp/figures/"):
            batch = chunk.to_record_batch()
            nanos = batch.column("log_time").cast(pa.int64()).to_pylist()
            numbers = [row[0] for row in batch.column("Scalars:scalars").to_pylist()]
            values.setdefault(chunk.entity_path.rpartition("/")[2], []).extend(zip(nanos, numbers, strict=True))
    return {name: Series(*map(list, zip(*sorted(pairs), strict=True))) for name, pairs in values.items()}


def rows_of_rate(series: Series) -> float:
    """Return the number of rows after the first value, from the rates: a value holds since the one before it."""
    ends = zip(series.nanos, series.nanos[1:], series.values[1:], strict=False)
    return sum((end - begin) / 1e9 * value for begin, end, value in ends)


@pytest.mark.filterwarnings("ignore:RRD file has no footer")
def test_figures_are_those_of_the_session(start_python: StartPython, tmp_path: Path) -> None:
    """The program goes on until the figures that the test waits for are there, so that load only makes it slower."""
    path, gates = tmp_path / "run.rrd", [tmp_path / "stop_logging", tmp_path / "end"]
    program = start_python(PROGRAM, path, "0.1", *gates)
    program.wait_for_output("logging")

    def values(name: str) -> list[float]:
        try:
            return series_of(path).get(name, Series([], [])).values
        except (RuntimeError, ValueError, OSError):
            return []  # the file ends in the middle of a message that is being written

    def is_full_at_times() -> bool:
        fills = values("ring_fill")
        return len(fills) >= 5 and max(fills) > 0.5

    wait_until(is_full_at_times, timeout_secs=WAIT_SECS, what="five figures, one of a ring that is half full")
    gates[0].touch()
    program.wait_for_output("flushed")
    began_ns, delivered, dropped = map(int, program.stdout.split()[-4:-1])
    wait_until(lambda: values("dropped")[-1:] == [dropped], timeout_secs=WAIT_SECS, what="all drops in a figure")
    gates[1].touch()
    program.wait().check()

    verify(path)
    found = series_of(path)
    assert set(found) == set(figures.TITLES)
    assert len({len(series.values) for series in found.values()}) == 1
    assert all(0 <= fill <= 1 for fill in found["ring_fill"].values)
    assert found["dropped"].values == sorted(found["dropped"].values)
    assert found["dropped"].values[-1] == dropped > 0
    rate = found["rows_per_second"]
    later = rows_of_rate(rate)
    # The first value covers the time since the worker began, which is later than the program's own beginning.
    first = (rate.nanos[0] - began_ns) / 1e9 * rate.values[0]
    assert later < 1.5 * delivered
    assert later + first > 0.5 * delivered


def test_no_figures_are_logged_unless_they_are_asked_for(run_python: RunPython, tmp_path: Path) -> None:
    path, gates = tmp_path / "run.rrd", [tmp_path / "stop_logging", tmp_path / "end"]
    for gate in gates:
        gate.touch()
    run_python(PROGRAM, path, "none", *gates).check()
    assert series_of(path) == {}


def test_the_blueprint_names_each_of_them() -> None:
    views: Any = figures.blueprint().root_container
    grid, texts = views.contents
    assert [view.origin for view in grid.contents] == [f"/__rerun_mp/figures/{name}" for name in figures.TITLES]
    assert texts.contents == ["/__rerun_mp/crashes", "/__rerun_mp/dropped"]


def test_the_blueprint_has_a_line_for_each_host_of_a_job() -> None:
    views: Any = figures.blueprint(["node-1", "node 2"]).root_container
    grid, texts = views.contents
    assert [view.contents for view in grid.contents] == [
        [f"/__rerun_mp/node-1/figures/{name}", f"/__rerun_mp/node_2/figures/{name}"] for name in figures.TITLES
    ]
    assert texts.contents == [
        f"/__rerun_mp/{host}/{name}" for host in ("node-1", "node_2") for name in ("crashes", "dropped")
    ]
