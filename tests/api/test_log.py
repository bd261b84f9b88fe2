"""`log` and its companions in wrong calls; tests/parity compares their rows with rerun's."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython


def test_a_wrong_call_loses_only_its_own_row(run_python: RunPython, place: Path) -> None:
    finished = run_python(
        """
        import sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
        rr.init("app")
        rr.save(sys.argv[1])
        rr.save(5)
        rr.log("good", rr.Scalars(1.0))
        rr.log("bad", object())
        rr.log(5, rr.Scalars(1.0))
        rr.log("good", rr.Points3D([[1, 2]]))
        rr.send_columns("bad", [rr.TimeColumn("t", sequence=[1, 2])], rr.Scalars.columns(scalars=[1.0]))
        rr.log("good", rr.Scalars(2.0))
        for wrong in (lambda: rr.save(5), lambda: rr.log("bad", object()), lambda: rr.set_time("t", sequence=2**64)):
            rr.set_strict_mode(True)
            try:
                wrong()
            except (TypeError, ValueError, OverflowError):
                pass
            else:
                raise AssertionError("no error in strict mode")
        rr.disconnect()
        rows = rows_of(sys.argv[1])
        assert [row.entity_path for row in rows].count("good") == 3, rows
        assert not [row for row in rows if row.entity_path == "bad"]
        texts = [row.components["TextLog:text"].as_py()[0] for row in rows if row.entity_path == "__warnings"]
        warned = {text.partition(":")[0] for text in texts}
        assert sorted(warned) == ["Position3DBatch", "log", "save", "send_columns"], warned
        """,
        place / "run.rrd",
    ).check()
    for call in ("save", "log", "send_columns"):
        assert f"RerunWarning: {call}: " in finished.stderr
