"""The recording that a call goes to: the given one, the thread's, the global one, or the session's default."""

from __future__ import annotations

import pytest

from tests.conftest import RunPython


def test_the_threads_recording_wins_over_the_global_one_and_the_given_one_over_both(run_python: RunPython) -> None:
    run_python("""
        import threading
        import rerun_mp as rr
        one, two, three = (rr.RecordingStream("app", recording_id=name) for name in ("one", "two", "three"))
        assert rr.set_global_data_recording(one) is None
        assert rr.get_recording_id() == "one"
        assert rr.set_thread_local_data_recording(two) is None
        assert rr.get_recording_id() == "two"
        assert rr.get_recording_id(three) == "three"
        seen = []
        thread = threading.Thread(target=lambda: seen.append(rr.get_recording_id()))
        thread.start(); thread.join()
        assert seen == ["one"]
        with three:
            with one:
                assert rr.get_recording_id() == "one"
            assert rr.get_recording_id() == "three"
        assert rr.get_data_recording() is two
        assert rr.set_thread_local_data_recording(None) is two
        assert rr.set_global_data_recording(None) is one
        assert not rr.is_enabled()
    """).check()


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
