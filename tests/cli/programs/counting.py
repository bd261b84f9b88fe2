"""Usage: counting.py FILE GATE. Two forked children and their parent log rows and print their counts as JSON.

The children go on when GATE1 exists, and end when GATE2 exists. Each printed line maps process ids to rows.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np

import rerun_mp as rr

path, gate = sys.argv[1:]


def log(rows: int) -> int:
    for step in range(rows):
        rr.log("number", rr.Scalars(float(step)))
    rr.log("other", rr.AnyValues(a=1))
    rr.log("image", rr.Image(np.zeros((900, 900), np.uint8)))
    return rows + 2


def wait(number: int) -> None:
    while not os.path.exists(f"{gate}{number}"):
        time.sleep(0.01)


rr.init("rerun_mp_status")
rr.save(path)
counts: dict[int, int] = {}
reader, writer = os.pipe()
for child in range(2):
    if os.fork() == 0:
        os.write(writer, json.dumps([os.getpid(), log(1000 + child)]).encode() + b"\n")
        wait(1)
        os.write(writer, json.dumps([os.getpid(), log(500)]).encode() + b"\n")
        wait(2)
        os._exit(0)
counts[os.getpid()] = log(100)
lines = os.fdopen(reader)
for _ in range(2):
    for _ in range(2):
        pid, rows = json.loads(lines.readline())
        counts[pid] = counts.get(pid, 0) + rows
    print(json.dumps(counts), flush=True)
wait(2)
for _ in range(2):
    os.wait()
