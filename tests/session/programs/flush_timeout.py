"""A flush times out because the collector is stopped, and succeeds later; see tests/session/test_sink_status.py."""

from __future__ import annotations

import os
import signal

import pytest

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

if __name__ == "__main__":
    rr.init("rerun_mp_flush", send_properties=False)
    rr.flush()
    joined = current.session()
    assert joined is not None
    words = joined.segment.ring.words
    rr.log("first", rr.Scalars(0.0))
    rr.flush()
    for pid in (words[Header.GUARD_PID], words[Header.WORKER_PID]):
        os.kill(pid, signal.SIGSTOP)
    for step in range(7):
        rr.log("scalar", rr.Scalars(step))
    try:
        with pytest.raises(rr.FlushTimeoutError, match="up to 7 rows in 1 slots"):
            rr.flush(timeout_sec=0.3)
    finally:
        for pid in (words[Header.GUARD_PID], words[Header.WORKER_PID]):
            os.kill(pid, signal.SIGCONT)
    rr.flush(timeout_sec=30.0)
    assert rr.statistics().delivered == 8
