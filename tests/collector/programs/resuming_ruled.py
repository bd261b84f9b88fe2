"""Usage: resuming_ruled.py END FILE. Goes on with a file that has rules. Prints its accounts as JSON.

END: ended, or waiting: then it stops its collector, logs again, prints `logged`, and waits to be killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import rerun_mp as rr
from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE
from tests.harness.sessions import SessionWatch

END, PATH = sys.argv[1:]
ROWS = 100


def work() -> None:
    """Log `ROWS` rows on each entity."""
    for number in range(ROWS):
        for path in ("every", "off", "free"):
            rr.log(path, rr.Scalars(number))


rr.init("rerun_mp_file_rules")
rr.save(PATH, mode="resume", rules=[rr.Rule(path="every", every=10), rr.Rule(path="off", off=True)])
work()
rr.flush()
if END == "waiting":
    SessionWatch(bytes.fromhex(os.environ[ENVIRONMENT_VARIABLE][:64])).stop("guard", "worker")
    work()
    print("logged", flush=True)
    signal.pause()
accounts = rr.statistics()
print(json.dumps({"stored": accounts.stored, "held_back": accounts.held_back, "dropped": accounts.dropped}))
