"""A user's program: a worker becomes a daemon, closes all descriptors and logs on. Usage: daemonised.py FILE OWN.

The daemon writes to the file OWN, whose descriptors have numbers that rerun_mp may have used before.
"""

from __future__ import annotations

import os
import sys

import numpy as np

import rerun_mp as rr

rr.init("rerun_mp_daemon")
rr.save(sys.argv[1])
for step in range(100):
    rr.log("parent", rr.Scalars(float(step)))
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    rr.log("daemon", rr.Scalars(-1.0))
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.closerange(0, 4096)
    file = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    others = [os.dup(file) for _ in range(20)]
    os.write(file, b"the user's own bytes")
    for step in range(2000):
        rr.log("daemon", rr.Scalars(float(step)))
    rr.log("daemon", rr.Image(np.full((400, 400, 3), (1, 2, 3), np.uint8)))
    os._exit(0)
os.waitpid(child, 0)
for step in range(100):
    rr.log("parent", rr.Scalars(float(step)))
os.close(writer)
os.read(reader, 1)
