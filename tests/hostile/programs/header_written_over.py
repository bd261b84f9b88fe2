"""A user's program that overwrites its segment's header. Usage: header_written_over.py FILE FIFO.

Prints `begun`, overwrites the header when FIFO is opened, prints `written over`, and logs when FIFO is opened again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import PAGE

rr.init("rerun_mp_written_over")
rr.save(sys.argv[1])
rr.log("value", rr.Scalars(0.0))
rr.flush()
joined = current.session()
assert joined is not None
memory = joined.segment.ring.memory
fifo = Path(sys.argv[2])
print("begun", flush=True)
fifo.read_bytes()
for part in ((0, 13 * 8), (1024, PAGE)):
    memory[slice(*part)] = os.urandom(part[1] - part[0])
print("written over", flush=True)
fifo.read_bytes()
for step in range(1, 100):
    rr.log("value", rr.Scalars(float(step)))
rr.flush()
if os.fork() == 0:
    rr.log("child", rr.Scalars(0.0))
    os._exit(0)
os.wait()
