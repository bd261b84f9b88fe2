"""A `with` block and `disconnect` leave complete files; a batcher configuration delays no row."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.programs import COMMAND
from tests.harness.recordings import rows_of
from tests.harness.sessions import SessionWatch


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


@pytest.mark.real_collectors
def test_a_batcher_configuration_holds_no_row_back_from_the_file(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """So a stop of the machine, which ends all processes and empties shared memory, costs none of these rows."""
    watch, path = SessionWatch(), tmp_path / "rows.rrd"
    program = start_python(
        """
        import signal
        import sys
        import rerun_mp as rr
        from tests.harness.programs import wait_until
        recording = rr.RecordingStream("rerun_mp_batcher", batcher_config=rr.ChunkBatcherConfig.NEVER())
        recording.save(sys.argv[1])
        for number in range(3):
            recording.log("a", rr.Scalars(float(number)))
        wait_until(lambda: rr.statistics().stored == 3)
        print("stored", flush=True)
        signal.pause()
        """,
        path,
        env=watch.environment,
        start_new_session=True,
    )
    program.wait_for_output("stored")
    watch.kill_everything(program)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RRD file has no footer")
        assert len(rows_of(path)) == 3
    run_python(COMMAND, "recover").check()
