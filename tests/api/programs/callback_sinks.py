"""A user's program: callbacks receive the bytes of two recordings. Usage: callback_sinks.py STREAM OTHER.

The first callback writes to STREAM until the program's end. The second one's recording changes to the file OTHER.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import rerun as rerun_sdk

import rerun_mp as rr

rerun: Any = rerun_sdk  # it does not declare `bindings`

rr.init("rerun_mp_callback", recording_id="r", send_properties=False)
got, file = threading.Event(), open(sys.argv[1], "wb")  # noqa: SIM115 - the callback writes to it until the end


def callback(content: bytes) -> None:
    file.write(content)
    file.flush()
    got.set()


rr.log("before", rr.Scalars(0.0))
main = rr.get_data_recording()
assert main is not None
rerun.bindings.set_callback_sink(callback, recording=main.to_native())
assert got.wait(30.0)
other = rr.RecordingStream("other", recording_id="o", send_properties=False)
parts: list[bytes] = []
rerun.bindings.set_callback_sink(parts.append, recording=other.to_native())
other.log("early", rr.Scalars(1.0))
other.save(sys.argv[2])
other.log("late", rr.Scalars(1.0))
for step in range(100):
    rr.log("parent", rr.Scalars(step))
if os.fork() == 0:
    for step in range(100):
        rr.log("child", rr.Scalars(step))
    os._exit(0)
os.wait()
