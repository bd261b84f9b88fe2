"""Prefixes and a static row label the rows of each worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import count_rows, rows_of, verify

PROGRAMS = Path(__file__).with_name("programs")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_prefixes_and_components_say_who_logged(method: str, run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    printed = run_python(
        PROGRAMS / "pool.py",
        path,
        method,
    ).check()
    verify(path)
    counts = count_rows(path)
    by_workers = {name: rows for name, rows in counts.items() if name.startswith("workers/")}
    assert {name.split("/")[1] for name in by_workers} <= {"1", "2"}
    total: dict[str, int] = {}
    for name, rows in by_workers.items():
        key = name.split("/", 2)[2]
        total[key] = total.get(key, 0) + rows
    ranks = len({name.split("/")[1] for name in by_workers if name.endswith("initialized")})
    assert total == {"number": 40, "loss": 40, "my\\ image": 40, "any": 40, "columns": 8, "initialized": ranks}
    assert counts["number"] == 1
    processes = {name.split("/")[1]: rows for name, rows in counts.items() if name.startswith("processes/")}
    assert {int(pid) for pid in printed.stdout.split()} <= {int(pid) for pid in processes}
    (row, *_) = [row for row in rows_of(path) if row.entity_path.strip("/").startswith("processes/")]
    assert {name.rpartition(":")[2] for name in row.components} == {"rank", "pid", "host", "name"}


def test_a_prefix_can_be_removed_and_a_wrong_one_is_an_error(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(
        """
        import sys
        import rerun_mp as rr
        from rerun_mp.integrations.workers import identify, this_worker

        rr.init("rerun_mp_workers")
        rr.save(sys.argv[1])
        for prefix in (None, "a b/{rank}".replace(" ", ""), "c", None):
            identify(prefix=prefix, log=False, rank=7)
            for _ in range(3):
                rr.log("x", rr.Scalars(1.0))
            rr.send_property("note", rr.AnyValues(text=str(prefix)))
        try:
            identify(prefix="{nobody}")
        except ValueError as error:
            assert "{nobody}" in str(error) and "rank" in str(error)
        else:
            raise AssertionError
        assert this_worker(3).rank == 3
        """,
        path,
    ).check()
    counts = count_rows(path)
    assert {name: counts[name] for name in ("x", "ab/7/x", "c/x")} == {"x": 6, "ab/7/x": 3, "c/x": 3}
    properties = {row.entity_path for row in rows_of(path, properties=True) if "note" in row.entity_path}
    assert {one.strip("/") for one in properties} == {"__properties/note"}
