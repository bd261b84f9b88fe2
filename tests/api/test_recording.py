"""A `with` block and `disconnect` leave complete files."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython


def test_a_with_block_leaves_a_complete_file_and_disconnect_does_too(run_python: RunPython, place: Path) -> None:
    run_python(
        """
        import sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of, verify
        first, second = sys.argv[1:]
        with rr.RecordingStream("app") as recording:
            recording.save(first)
            recording.set_time("frame", sequence=1)
            rr.log("in/block", rr.Scalars(1.0))
        verify(first)
        (row,) = rows_of(first)
        assert row.times["frame"] == 1
        rr.init("another")
        rr.save(second)
        rr.log("before", rr.Scalars(1.0))
        rr.disconnect()
        verify(second)
        assert [row.entity_path for row in rows_of(second)] == ["before"]
        """,
        place / "first.rrd",
        place / "second.rrd",
    ).check()
