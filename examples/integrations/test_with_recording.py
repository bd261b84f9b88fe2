"""pytest: a fixture captures the rows of a test and its processes. The second test fails on purpose; its .rrd stays.

pytest -p rerun_mp.integrations.pytest_plugin examples/integrations/test_with_recording.py
"""

from __future__ import annotations

import multiprocessing
import os
import signal

import rerun_mp as rr


def work() -> None:
    """Log, and end by SIGKILL."""
    for step in range(100):
        rr.set_time("step", sequence=step)
        rr.log("worker", rr.Scalars(float(step)))
    os.kill(os.getpid(), signal.SIGKILL)


def test_passes(rerun_recording: rr.RecordingStream) -> None:
    """A test that passes leaves nothing."""
    rr.log("here", rr.TextLog("logged by a test that passes"))


def test_fails(rerun_recording: rr.RecordingStream) -> None:
    """A test that fails leaves its recording, with the rows of its killed process."""
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0, "killed; see the recording"
