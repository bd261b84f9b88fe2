"""Rerun's catalog server answers queries over a head's parts, each row once, also after it was killed."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import closing
from pathlib import Path

import pytest

from rerun_mp.cli import catalog as catalogs
from rerun_mp.cli.catalog import DATASET, Catalog
from tests.conftest import RunPython
from tests.harness.programs import wait_until
from tests.harness.requirements import need_field
from tests.harness.viewers import free_port

PROGRAM = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_catalog", recording_id="one")
for step in range(int(sys.argv[1]), int(sys.argv[1]) + 100):
    rr.set_time("step", sequence=step)
    rr.log("x", rr.Scalars(float(step)))
"""


def count_rows(catalog: Catalog) -> int:
    """Return the number of rows that a query over all parts finds."""
    from rerun.catalog import CatalogClient

    client = CatalogClient(catalog.url)
    return int(client.get_dataset(DATASET).reader(index="step").count())


@pytest.fixture
def runs(run_python: RunPython, tmp_path: Path) -> Path:
    """Return a head's directory with two parts of 100 rows each."""
    need_field("datafusion")
    runs = tmp_path / "runs"
    for first in (0, 100):
        environment = {"RERUN_MP_SHIP_TO": str(runs), "RERUN_MP_PARTS_DIRECTORY": str(tmp_path / "parts")}
        run_python(PROGRAM, str(first), env=environment).check()
    return runs


def test_a_query_finds_each_row_once(runs: Path) -> None:
    with closing(Catalog(runs, free_port())) as catalog:
        catalog.update()
        assert count_rows(catalog) == 200
        catalog.update()
        catalog._server.kill()
        catalog._server.wait()
        catalog.update()
        assert count_rows(catalog) == 200


def test_a_damaged_part_and_a_frozen_server_keep_no_part_out(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy by hand may be cut off. The head goes on in both cases."""
    damaged, later = runs / "a/torn-0011/0001-5-rows.rrd", runs / "a/late-0022/0001-100-rows.rrd"
    part, other = runs.glob("*/*/*.rrd")
    for directory in (damaged.parent, later.parent):
        directory.mkdir(parents=True)
    damaged.write_bytes(part.read_bytes()[:200])
    shutil.move(other, later.with_suffix(".moved"))
    with closing(Catalog(runs, free_port())) as catalog:
        catalog.follow()
        wait_until(lambda: f"the catalog lacks {damaged}: " in capsys.readouterr().err, what="the damaged part")
        wait_until(lambda: count_rows(catalog) == 100, what="the part that is whole")
        frozen = catalog.pid
        os.kill(frozen, signal.SIGSTOP)
        monkeypatch.setattr(catalogs, "ANSWER_SECS", 0.5)
        later.with_suffix(".moved").rename(later)

        def is_replaced() -> bool:
            catalog.end_if_frozen()
            return catalog.pid != frozen

        wait_until(is_replaced, what="another server")
        wait_until(lambda: damaged.name in capsys.readouterr().err, what="the end of the registration")
        wait_until(lambda: count_rows(catalog) == 200, what="the late part")
