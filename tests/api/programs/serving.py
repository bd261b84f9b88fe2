"""A user's program: its server has all rows, also after the collector's worker is killed. Usage: serving.py PORT.

Prints the server's URI. A line on standard input lets it kill the worker, log, and print `killed`; another ends it.
"""

from __future__ import annotations

import os
import signal
import sys

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_serving", send_properties=False)
rr.log("before", rr.Scalars(1.0))
uri = rr.serve_grpc(grpc_port=int(sys.argv[1]))
assert rr.serve_grpc(grpc_port=int(sys.argv[1])) == uri, "the second call returns the same server"
print(uri, flush=True)
if os.fork() == 0:
    for step in range(100):
        rr.log("child", rr.Scalars(float(step)))
    os._exit(0)
os.wait()
sys.stdin.readline()
joined = current.session()
assert joined is not None
os.kill(joined.segment.ring.words[Header.WORKER_PID], signal.SIGKILL)
rr.log("after", rr.Scalars(1.0))
rr.flush()
print("killed", flush=True)
sys.stdin.readline()
