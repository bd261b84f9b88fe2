"""`save`, `spawn` and `flush` in wrong calls; tests/session and tests/viewers follow rows to their sinks."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython


def test_an_unwritable_path_raises_and_the_sinks_stay(run_python: RunPython, place: Path) -> None:
    run_python(
        """
        import os, sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
        rr.init("app")
        rr.save(sys.argv[1])
        try:
            rr.save(os.path.join(sys.argv[1] + ".missing", "run.rrd"))
        except OSError as error:
            assert "missing" in str(error)
        else:
            raise AssertionError
        rr.log("x", rr.Scalars(1.0))
        rr.disconnect()
        assert len(rows_of(sys.argv[1])) == 1
        """,
        place / "run.rrd",
    ).check()


def test_without_a_display_spawn_says_what_to_do_and_changes_nothing(run_python: RunPython, place: Path) -> None:
    finished = run_python(
        """
        import sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
        rr.init("app")
        rr.save(sys.argv[1])
        rr.spawn(port=19)
        rr.log("x", rr.Scalars(1.0))
        rr.disconnect()
        assert "x" in [row.entity_path for row in rows_of(sys.argv[1])]
        """,
        place / "run.rrd",
        env={"DISPLAY": None, "WAYLAND_DISPLAY": None},
    ).check()
    assert "headless=True" in finished.stderr


def test_flush_refuses_a_wrong_timeout(run_python: RunPython) -> None:
    run_python("""
        import rerun_mp as rr
        rr.init("app")
        rr.log("x", rr.Scalars(1.0))
        rr.flush(timeout_sec=0)
        rr.get_data_recording().flush(timeout_sec=30)
        for wrong, error in ((-1, ValueError), (float("nan"), ValueError), ("5", TypeError)):
            try:
                rr.flush(timeout_sec=wrong)
            except error:
                continue
            raise AssertionError(wrong)
    """).check()
