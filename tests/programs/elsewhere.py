"""Uses what rerun_mp adds to rerun on a system without sessions: elsewhere.py FILE."""

from __future__ import annotations

import logging
import sys

import rerun_mp as rr
from rerun_mp import figures
from rerun_mp.integrations import exceptions, gunicorn, launchers, logs, pools, torch, workers  # noqa: F401

rr.init("elsewhere", settings=rr.Settings(policy=rr.Policy.DROP), send_properties=False)
rr.save(sys.argv[1])
rr.set_time("step", sequence=1)
loss = rr.series("loss")
loss(1)
loss(0.5)
rr.log("text", rr.TextLog("one"))
recording = rr.new_recording("another")
rr.log("nowhere", rr.Scalars(1.0), recording=recording)
rr.flush(recording=recording)
rr.set_log_time_enabled(True)
rr.set_log_tick_enabled(True)


@rr.shutdown_at_exit
def work() -> None:
    """Log a row. rerun ends its recordings at the end of such a function."""
    rr.log("decorated", rr.Scalars(1.0))


assert rr.statistics() == rr.Statistics()
assert rr.version().startswith("rerun_mp ")
assert rr.version().endswith("plain rerun")
assert launchers.environment() == {}
assert issubclass(rr.ResourceError, rr.RerunMpError)
figures.blueprint()
torch.worker_init_fn(3)
rr.log("batch", rr.Scalars(1.0))
rr.log(["a", 1], rr.Scalars(1.0))
workers.identify(log=False)
exceptions.capture_exceptions()
logs.capture_logging(level=logging.INFO)
logging.getLogger("net").info("hello")
rr.flush()
work()
