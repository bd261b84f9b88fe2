"""The recording that a call goes to: the given one, the thread's, the global one, or the session's default."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython

PROGRAMS = Path(__file__).with_name("programs")


def test_the_threads_recording_wins_over_the_global_one_and_the_given_one_over_both(run_python: RunPython) -> None:
    run_python(PROGRAMS / "which_recording_wins.py").check()


@pytest.mark.parametrize(
    "call",
    [
        "rr.set_global_data_recording(5)",
        "rr.set_thread_local_data_recording('recording')",
        "rr.set_time('t', sequence=1, recording=5)",
        "rr.save('run.rrd', recording=5)",
    ],
)
def test_an_object_that_is_no_recording_is_refused_and_the_recording_stays(run_python: RunPython, call: str) -> None:
    run_python(
        """
        import sys
        import rerun_mp as rr
        rr.init("rerun_mp_kinds")
        before = rr.get_recording_id()
        try:
            eval(sys.argv[1])
        except TypeError as error:
            assert "RecordingStream" in str(error), error
        else:
            raise AssertionError("accepted")
        assert rr.get_recording_id() == before
        """,
        call,
    ).check()
