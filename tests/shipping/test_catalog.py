"""Rerun's catalog server answers queries over a head's parts, each row once, also after it was killed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rerun_mp.cli.catalog import DATASET, Catalog
from tests.conftest import RunPython
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


def test_a_query_finds_each_row_once(run_python: RunPython, tmp_path: Path) -> None:
    need_field("datafusion")
    runs = tmp_path / "runs"
    for first in (0, 100):
        environment = {"RERUN_MP_SHIP_TO": str(runs), "RERUN_MP_PARTS_DIRECTORY": str(tmp_path / "parts")}
        run_python(PROGRAM, str(first), env=environment).check()
    with closing(Catalog(runs, free_port())) as catalog:
        catalog.update()
        assert count_rows(catalog) == 200
        catalog.update()
        catalog._server.kill()
        catalog._server.wait()
        catalog.update()
        assert count_rows(catalog) == 200
