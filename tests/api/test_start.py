"""Beginning a recording: its start time, its switch in the environment, and its ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython


def test_the_start_time_is_logged_once_and_only_if_asked(run_python: RunPython, place: Path) -> None:
    run_python(
        """
        import os, sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
        def properties(path, **options):
            with rr.RecordingStream("app", **options) as recording:
                recording.save(path)
                recording.log("x", rr.Scalars(1.0))
                if os.fork() == 0:
                    rr.RecordingStream("app", recording_id=recording.get_recording_id())
                    os._exit(0)
                os.wait()
            rows = rows_of(path, properties=True)
            return [row for row in rows if row.entity_path.startswith("__properties")]
        (row,) = properties(sys.argv[1])
        assert list(row.components) == ["RecordingInfo:start_time"] and not row.times
        assert properties(sys.argv[2], send_properties=False) == []
        """,
        place / "with.rrd",
        place / "without.rrd",
    ).check()


@pytest.mark.parametrize(("variable", "argument", "expected"), [("off", True, False), ("on", False, True)])
def test_the_environment_decides_whether_a_recording_is_enabled(
    run_python: RunPython, place: Path, variable: str, argument: bool, expected: bool
) -> None:
    program = """
        import os, sys
        import rerun_mp as rr
        rr.init("app", default_enabled=sys.argv[2] == "True")
        expected = sys.argv[3] == "True"
        assert rr.is_enabled() is expected
        assert ("RERUN_MP_SESSION" in os.environ) is expected
        assert (rr.get_recording_id() is not None) is expected
        rr.save(sys.argv[1])
        rr.log("x", rr.Scalars(1.0))
        rr.disconnect()
        assert os.path.exists(sys.argv[1]) is expected
    """
    run_python(program, place / "run.rrd", str(argument), str(expected), env={"RERUN": variable}).check()


def test_bad_ids_are_refused(run_python: RunPython) -> None:
    run_python("""
        import os
        import rerun_mp as rr
        for wrong, error in ((("",), ValueError), ((5,), TypeError), (("a" * 70_000,), ValueError)):
            for begin in (rr.init, rr.RecordingStream, rr.new_recording):
                try:
                    begin(*wrong)
                except error:
                    continue
                raise AssertionError((begin, wrong))
        assert "RERUN_MP_SESSION" not in os.environ
    """).check()
