"""A user's program: a recording in memory is drained twice. Usage: memory_recording.py FIRST SECOND FILE."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rerun_mp as rr

rr.init("rerun_mp_memory", send_properties=False)
rr.log("before", rr.Scalars(1.0))
memory = rr.memory_recording()
for step in range(5):
    rr.log("parent", rr.Scalars(float(step)))
if os.fork() == 0:
    rr.log("child", rr.Scalars(1.0))
    os._exit(0)
os.wait()
assert memory.num_msgs() >= 3
first = memory.drain_as_bytes()
assert memory.num_msgs() == 0
assert memory.drain_as_bytes() == b""
rr.log("later", rr.Scalars(1.0))
rr.save(sys.argv[3])
rr.log("file", rr.Scalars(1.0))
for path, content in zip(sys.argv[1:3], (first, memory.drain_as_bytes()), strict=True):
    Path(path).write_bytes(content)
