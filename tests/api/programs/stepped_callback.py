"""A callback's thread stands still where it changes files, while the program goes on.

Usage: stepped_callback.py PLACE [FILE]. PLACE: before or after the thread has set its next file. The program then saves
to FILE, or lets the callback end.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import rerun as rerun_sdk

import rerun_mp as rr
from rerun_mp.api import readback, sink_setting

rerun: Any = rerun_sdk  # it does not declare `bindings`
place, files = sys.argv[1], sys.argv[2:]
recording = rr.RecordingStream("other", recording_id="o", send_properties=False)
is_there, may_go_on = threading.Event(), threading.Event()
parts: list[bytes] = []
configure = sink_setting.configure_sinks


def stand_still(where: str) -> None:
    if where == place and threading.current_thread() is not threading.main_thread() and not is_there.is_set():
        is_there.set()
        assert may_go_on.wait(30.0)


def stepped(state: Any, specs: Any, *, in_place_of: Any = None) -> bool:
    stand_still("before")
    is_done = configure(state, specs, in_place_of=in_place_of)
    stand_still("after")
    return is_done


state = recording.state
assert state is not None
callback = readback.CallbackSink(state, parts.append)
readback.__dict__["configure_sinks"] = stepped
recording.log("early", rr.Scalars(1.0))
assert is_there.wait(30.0)
if files:
    recording.save(files[0])
    recording.log("late", rr.Scalars(1.0))
    may_go_on.set()
else:
    recording.log("late", rr.Scalars(1.0))
    threading.Timer(0.2, may_go_on.set).start()
    callback._end()
    content = b"".join(parts)
    assert b"early" in content
    assert b"late" in content
