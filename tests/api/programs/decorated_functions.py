"""A user's program: `shutdown_at_exit` stores the rows of a function that returns or raises.

Usage: decorated_functions.py FILE.
"""

from __future__ import annotations

import os
import sys

import rerun_mp as rr
from rerun_mp.session import current


@rr.shutdown_at_exit
def work(*, fails: bool) -> int:
    rr.log("x", rr.Scalars(1.0))
    if fails:
        raise ZeroDivisionError
    return 5


rr.init("app")
rr.save(sys.argv[1])
for fails in (False, True):
    if os.fork() == 0:
        try:
            ok = work(fails=fails) == 5
        except ZeroDivisionError:
            ok = fails
        joined = current.session()
        assert joined is not None
        assert joined._producer is not None
        # A stored slot that the collector has not freed yet is still listed.
        is_stored = all(joined.is_stored(*slot) for slot in joined._producer.pending())
        os._exit(0 if ok and is_stored else 1)
    assert os.wait()[1] == 0
