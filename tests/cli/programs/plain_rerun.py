"""A program that knows only rerun: it logs from children of every start method, from a subprocess and by handles."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys

import rerun as rr


def work(name: str) -> None:
    for step in range(100):
        rr.set_time("step", sequence=step)
        rr.log(name, rr.Scalars(float(step)))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    rr.init("rerun_mp_run")
    rr.log("main", rr.TextLog("begun"))
    for method in ("fork", "forkserver", "spawn"):
        process = multiprocessing.get_context(method).Process(target=work, args=(method,))  # type: ignore[attr-defined]
        process.start()
        process.join()
    code = "import rerun as rr; [rr.log('subprocess', rr.Scalars(1.0)) for _ in range(10)]"
    subprocess.run([sys.executable, "-c", code], check=True)
    with rr.RecordingStream("rerun_mp_run_other", recording_id="other") as recording:
        rr.log("by_context", rr.TextLog("hello"))
    recording.log("by_handle", rr.TextLog("hello"))
    sys.exit(7)
