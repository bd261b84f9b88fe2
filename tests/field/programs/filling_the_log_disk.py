"""Fills the disk of the runtime directory, kills guard and worker, and logs on: filling_the_log_disk.py FILE.

The quarantine's record names a suspect, so the next worker wants to write there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_full")
rr.save(sys.argv[1])
rr.log("before", rr.Scalars(1.0))
rr.flush()
session = current.session()
assert session is not None
directory, words = Path(session.segment.runtime_directory), session.segment.ring.words
quarantine = directory / "quarantine.json"
suspect = {"suspect": "slot 1", "suspicions": {"slot 1": 1}, "careful_until": 10**6}
quarantine.write_text(json.dumps({**json.loads(quarantine.read_text()), **suspect}))
with (directory / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
    while True:
        filler.write(bytes(4096))
lives = words[Header.WORKER_LIVES]
for role in (Header.GUARD_PID, Header.WORKER_PID):
    os.kill(words[role], signal.SIGKILL)
rr.log("after", rr.Scalars(2.0))
rr.flush(timeout_sec=60)
assert words[Header.WORKER_LIVES] > lives
