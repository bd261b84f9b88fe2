"""A user's program: a call uses the given recording, else the thread's, else the global one."""

from __future__ import annotations

import threading

import rerun_mp as rr

one, two, three = (rr.RecordingStream("app", recording_id=name) for name in ("one", "two", "three"))
assert rr.set_global_data_recording(one) is None
assert rr.get_recording_id() == "one"
assert rr.set_thread_local_data_recording(two) is None
assert rr.get_recording_id() == "two"
assert rr.get_recording_id(three) == "three"
seen: list[str | None] = []
thread = threading.Thread(target=lambda: seen.append(rr.get_recording_id()))
thread.start()
thread.join()
assert seen == ["one"]
with three:
    with one:
        assert rr.get_recording_id() == "one"
    assert rr.get_recording_id() == "three"
assert rr.get_data_recording() is two
assert rr.set_thread_local_data_recording(None) is two
assert rr.set_global_data_recording(None) is one
assert not rr.is_enabled()
