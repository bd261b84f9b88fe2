"""Usage: lines.py FILE. Logs lines of the standard library's logging, from the program and from a forked child."""

from __future__ import annotations

import logging
import os
import sys

import rerun_mp as rr
from rerun_mp.integrations.logs import capture_logging

rr.init("rerun_mp_lines")
rr.save(sys.argv[1])
capture_logging("first")
capture_logging("lines", level=logging.INFO)
logger = logging.getLogger("my.app")
logger.debug("not logged")
logger.warning("%s of %d", "one", 2)
try:
    _ = 1 / 0
except ZeroDivisionError:
    logger.exception("it failed")
logging.raiseExceptions = False
logger.info("%d", "no number")
if os.fork() == 0:
    logger.log(25, "from a child")
    os._exit(0)
os.wait()
