"""A child whose environment the program builds itself joins the session."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython
from tests.harness.recordings import rows_of


def test_a_child_with_an_environment_of_its_own_joins(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(
        """
        import os, subprocess, sys
        import rerun_mp as rr
        from rerun_mp.integrations.launchers import environment
        try:
            environment()
        except rr.SessionError as error:
            assert "rerun_mp.init()" in str(error)
        rr.init("rerun_mp_launcher")
        rr.save(sys.argv[1])
        code = (
            "import rerun_mp as rr; from rerun_mp.integrations.workers import identify;"
            "rr.log('a', rr.Scalars(float(identify().rank)))"
        )
        names = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path), "RANK": "5"}
        subprocess.run([sys.executable, "-c", code], env={**names, **environment()}, check=True)
        """,
        path,
    ).check()
    (row,) = [row for row in rows_of(path) if row.entity_path.strip("/") == "a"]
    assert row.components["Scalars:scalars"].as_py() == [5.0]
