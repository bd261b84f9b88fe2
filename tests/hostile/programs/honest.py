"""A user's program that logs while another process scribbles over the segment; see tests/hostile/test_scribbler.py.

Usage: honest.py FILE STEPS GO. Logs once the file GO exists. Prints `begun`, `logged`, and at last a JSON list: how
many rows were delivered, and how many were damaged.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.session.accounts import Account, read_accounts

rr.init("rerun_mp_scribbled")
rr.save(sys.argv[1])
rr.log("begun", rr.Scalars(0.0))
rr.flush()
print("begun", flush=True)
while not os.path.exists(sys.argv[3]):
    time.sleep(0.01)
points = np.arange(300, dtype=np.float32).reshape(-1, 3)
steps = int(sys.argv[2])
for step in range(steps):
    rr.set_time("step", sequence=step)
    rr.log("scalar", rr.Scalars(float(step)))
    rr.log("text", rr.TextLog(f"text {step}"))
    rr.log("points", rr.Points3D(points))
    rr.log("frame", rr.Boxes3D(half_sizes=[[1, 1, step]]))
    if step % 50 == 0:
        rr.log("image", rr.Image(np.full((200, 200, 3), step % 256, np.uint8)))
    if step % 20 == 0:
        time.sleep(0.002)
print("logged", flush=True)
# Not `flush`: the scribbler also overwrites the word that tells producers how far the store is.
joined = current.session()
assert joined is not None
assert joined._producer is not None
segment, mine = joined.segment, joined._producer.index
joined.seal()


def account() -> Account:
    return next(one for one in read_accounts(segment) if one.index == mine and one.is_live)


while account().delivered < 1 + 4 * steps + -(-steps // 50):
    joined.ring_doorbell()
    time.sleep(0.01)
print(json.dumps([account().delivered, account().dropped_by_damage]), flush=True)
