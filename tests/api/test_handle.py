"""Handles of recordings can be copied, hashed and pickled."""

from __future__ import annotations

from tests.conftest import RunPython


def test_handles_are_copied_hashed_and_pickled(run_python: RunPython) -> None:
    run_python("""
        import copy, pickle
        import rerun_mp as rr
        recording = rr.RecordingStream("app", recording_id="r")
        same = [copy.copy(recording), copy.deepcopy(recording), pickle.loads(pickle.dumps(recording))]
        same.append(rr.RecordingStream("app", recording_id="r"))
        assert all(one == recording and hash(one) == hash(recording) for one in same)
        assert len({recording, *same, rr.RecordingStream("app", recording_id="s")}) == 2
        assert "app" in repr(recording)
    """).check()
