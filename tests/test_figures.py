"""The session's own figures: in the recordings if they are asked for, and shown by their blueprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rerun_mp import figures
from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

PROGRAM = """
import sys, time
import numpy as np
import rerun_mp as rr
from rerun_mp.session.accounts import read_accounts
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_figures", settings=rr.Settings(figures=eval(sys.argv[2]), policy=rr.Policy.DROP, ring_bytes=2 << 20))
rr.save(sys.argv[1])
rr.log("image", rr.Image(np.zeros((500, 500), np.uint8)))
rr.flush()  # the collector runs from here on
until = time.monotonic() + float(sys.argv[3])
while time.monotonic() < until or not sum(account.dropped for account in read_accounts(current.session().segment)):
    rr.log("image", rr.Image(np.zeros((500, 500), np.uint8)))
rr.flush()
time.sleep(float(sys.argv[4]))  # drops are published once a second, and figures then
(account,) = rr.statistics().producers
print(account.delivered, account.dropped)
"""


def series_of(path: Path) -> dict[str, list[float]]:
    """Return the figures of a recording by their names."""
    found: dict[str, list[float]] = {}
    for row in sorted(rows_of(path), key=lambda row: row.times.get("log_time", 0)):
        entity_path = row.entity_path.strip("/")
        if entity_path.startswith("__rerun_mp/figures/"):
            name = entity_path.removeprefix("__rerun_mp/figures/")
            found.setdefault(name, []).append(row.components["Scalars:scalars"].as_py()[0])
    return found


def test_figures_are_those_of_the_session(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    delivered, dropped = map(int, run_python(PROGRAM, path, "0.1", "1.0", "1.2").check().stdout.split())
    verify(path)
    found = series_of(path)
    assert set(found) == set(figures.TITLES)
    assert len({len(values) for values in found.values()}) == 1
    assert len(found["ring_fill"]) >= 5
    assert max(found["ring_fill"]) > 0.5
    assert 0 <= min(found["ring_fill"]) <= max(found["ring_fill"]) <= 1
    assert found["dropped"] == sorted(found["dropped"])
    assert found["dropped"][-1] == dropped > 0
    # About as many as were delivered: each value is a rate over a tenth of a second and a bit.
    assert 0.5 * delivered < 0.1 * sum(found["rows_per_second"]) < 1.5 * delivered


def test_there_are_none_unless_they_are_asked_for(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(PROGRAM, path, "None", "0", "0").check()
    assert series_of(path) == {}


def test_the_blueprint_names_each_of_them() -> None:
    views: Any = figures.blueprint().root_container
    grid, texts = views.contents
    assert [view.origin for view in grid.contents] == [f"/__rerun_mp/figures/{name}" for name in figures.TITLES]
    assert texts.contents == ["/__rerun_mp/crashes", "/__rerun_mp/dropped"]
