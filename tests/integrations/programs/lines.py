"""Usage: lines.py FILE. Logs lines of the standard library's logging, and warnings, also in forked children."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import rerun_mp as rr
from rerun_mp.integrations.logs import capture_logging, capture_warnings

rr.init("rerun_mp_lines")
rr.save(sys.argv[1])
capture_logging("first")
capture_logging("lines", level="INFO")
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

extra = logging.getLogger("extra")
extra.info("first", extra={"user": "ada", "attempt": 3, "took_secs": 0.5, "is_last": False, "where": ["a", "b"]})
extra.info("second", extra={"user": 7, "attempt": "four", "took_secs": 2})


class Nameless:
    """A value without a text."""

    def __str__(self) -> str:
        raise ValueError("no text")


odd = logging.getLogger("odd")
odd.info("third \udcff", extra={"name_of_file": "\udcff", "thing": Nameless(), "large": 1 << 70})
logging.getLogger("stack").info("here", stack_info=True)
capture_logging("formatted", level="INFO", formatter="%(levelname)s/%(name)s: %(message)s")
logger.error("as formatted")

capture_warnings()
capture_warnings("said")
if os.fork() == 0:
    warnings.warn("from a child", stacklevel=1)
    os._exit(0)
os.wait()
with warnings.catch_warnings(record=True):
    warnings.warn("recorded, and not logged", stacklevel=1)
