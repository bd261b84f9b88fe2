"""Usage: file_ruled.py HOW DIRECTORY. Logs from forked workers to files with rules. Prints the accounts as JSON.

HOW: alone, beside (a file without rules), live (a server), append, rotate or killed (a worker of the collector is).
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import rerun_mp as rr
from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE
from tests.harness.programs import wait_until
from tests.harness.recordings import rows_of
from tests.harness.sessions import SessionWatch

HOW = sys.argv[1]
os.chdir(sys.argv[2])
ROWS = 200
warnings.filterwarnings("ignore", message="RRD file has no footer")
RULES = [
    rr.Rule(path="every", every=10),
    rr.Rule(path="rated", max_hz=0.001),
    rr.Rule(path="off/**", off=True),
    rr.Rule(path="sampled", sample=0.5),
]


def work() -> None:
    """Log rows on each entity."""
    for number in range(ROWS):
        for path in ("every", "rated", "off/deep", "sampled", "free"):
            rr.log(path, rr.Scalars(number))


def forked() -> None:
    """Let a forked child log, and wait for it."""
    if os.fork() == 0:
        work()
        os._exit(0)
    assert os.wait()[1] == 0


rr.init("rerun_mp_file_rules")
rr.log("every", rr.SeriesLines(names="a static row"), static=True)
rr.log("off/early", rr.Scalars(0.0))
if HOW == "beside":
    rr.set_sinks(rr.FileSink("full.rrd"), rr.FileSink("run.rrd", rules=RULES))
elif HOW == "live":
    rr.set_sinks(rr.FileSink("run.rrd", rules=RULES), rr.GrpcServerSink(port=0))
else:
    rotate = rr.Rotation() if HOW == "rotate" else None
    rr.save("run.rrd", rules=RULES, rotate=rotate, mode="append" if HOW == "append" else "new")
forked()
if HOW == "killed":
    SessionWatch(bytes.fromhex(os.environ[ENVIRONMENT_VARIABLE][:64])).kill("worker")
if HOW == "rotate":
    rr.next_episode()
forked()
rr.flush()
TOTAL = 2 * 5 * ROWS + 2
wait_until(lambda: rr.statistics().logged == TOTAL, what="the accounts of all rows")


def held_by_file() -> int:
    """Return the rows that the rules of run.rrd hold back."""
    return sum(sink.held_rows for sink in rr.statistics().sinks if "run" in sink.target)


def is_status_new() -> bool:
    """Return whether the status of the sinks, which may be some time old, is as new as the accounts."""
    if HOW in ("beside", "live"):
        return len(rows_of(Path("run.rrd"))) + held_by_file() == TOTAL
    return held_by_file() == rr.statistics().held_back


wait_until(is_status_new, what="the status of the sinks")
if HOW == "rotate":
    rr.snapshot("snapshot.rrd")
accounts = rr.statistics()
assert accounts.logged == sum(one.logged for one in accounts.producers)
print(
    json.dumps(
        {
            "stored": accounts.stored,
            "held_back": accounts.held_back,
            "dropped": accounts.dropped,
            "refused": accounts.refused,
            "held_by_file": held_by_file(),
        }
    )
)
