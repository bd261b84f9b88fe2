"""Usage: ruled.py FILE URL. Logs rows to a file, and by rules to a server. Prints the server's account as JSON."""

from __future__ import annotations

import json
import os
import sys

import numpy as np

import rerun_mp as rr
from tests.harness.programs import wait_until

RULES = [
    rr.Rule(path="debug/**", off=True),
    rr.Rule(path="every", every=10),
    rr.Rule(path="sampled", sample=0.5),
    rr.Rule(path="/rated", max_hz=0.001),
    rr.Rule(path="camera/**", max_side=32, jpeg=80),
    rr.Rule(path="small", max_side=32),
]
ROWS = 200
rr.init("rerun_mp_rules")
rr.set_sinks(rr.FileSink(sys.argv[1]), rr.GrpcSink(sys.argv[2], rules=RULES))
if os.fork() == 0:
    rr.log("debug/deep", rr.TextLog("held back"))
    os._exit(0)
os.wait()
for number in range(ROWS):
    for path in ("every", "sampled", "rated", "free"):
        rr.log(path, rr.Scalars(number))
rr.log("debug/static", rr.TextLog("held back"), static=True)
rr.log("every", rr.SeriesLines(names="a static row"), static=True)
image = np.zeros((48, 64, 3), np.uint8)
image[:, :, 0] = 200
rr.log("camera/left", rr.Image(image))
rr.log("small", rr.Image(image))
rr.log("camera/depth", rr.DepthImage(np.ones((48, 64), np.uint16)))
total = 4 * ROWS + 6


def is_delivered() -> bool:
    """Return whether the server has every row that the rules allow."""
    servers = [sink for sink in rr.statistics().sinks if sink.kind == "grpc"]  # none until the collector has one
    return any(one.behind_chunks == 0 and (one.acknowledged_rows or 0) + one.held_rows == total for one in servers)


wait_until(is_delivered, what="rows at the server")
[server] = [sink for sink in rr.statistics().sinks if sink.kind == "grpc"]
print(
    json.dumps({"held": server.held_rows, "acknowledged": server.acknowledged_rows, "stored": rr.statistics().stored})
)
