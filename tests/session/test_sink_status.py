"""`statistics().sinks` says of each sink whether it has everything, how far behind it is, and since when."""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import RunPython, StartPython
from tests.harness.programs import wait_until
from tests.harness.servers import Server
from tests.harness.viewers import free_port

SHOWING = """
import os, sys, time
import rerun_mp as rr

rr.init("rerun_mp_status", recording_id="r", send_properties=False)
rr.set_sinks(rr.FileSink(sys.argv[1]), rr.GrpcSink(sys.argv[2]))

def wait_for(state, **wanted):
    deadline = time.monotonic() + 30
    while True:
        found = {sink.kind: sink for sink in rr.statistics().sinks}
        viewer = found.get("grpc")
        if viewer is not None and viewer.state == state and all(getattr(viewer, k)(v) for k, v in wanted.items()):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)

def log(number):
    for step in range(number):
        rr.log("text", rr.TextLog(os.urandom(500).hex()))  # which nothing makes smaller
    rr.flush()

log(10)
found = wait_for("retrying")
assert "nothing answers" in found["grpc"].failure, found
assert found["grpc"].behind_rows == 10, found
assert (found["file"].state, found["file"].target) == ("writing", sys.argv[1])
retrying_since = found["grpc"].since_ns
assert 0 < time.time_ns() - retrying_since < 60e9
print("retrying", flush=True)
found = wait_for("connected")
while found["grpc"].behind_chunks:
    found = wait_for("connected")
assert (found["grpc"].behind_rows, found["grpc"].failure) == (0, None), found
assert found["grpc"].since_ns > retrying_since
print("connected", flush=True)
open(sys.argv[3]).read()
for _ in range(20):
    log(1000)
found = wait_for("stalled")
while found["grpc"].behind_rows < 1000:
    found = wait_for("stalled")
if os.fork() == 0:
    assert {sink.state for sink in rr.statistics().sinks} == {"writing", "stalled"}
    os._exit(0)
assert os.wait()[1] == 0
print("stalled", flush=True)
found = wait_for("connected")
while found["grpc"].behind_rows:
    found = wait_for("connected")
"""


def test_a_viewer_that_is_late_frozen_and_awake_again(start_python: StartPython, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    port = free_port()
    url = f"rerun+http://127.0.0.1:{port}/proxy"
    program = start_python(SHOWING, tmp_path / "run.rrd", url, tmp_path / "go")
    program.wait_for_output("retrying\n")
    server = Server(tmp_path / "served.rrd", port)
    try:
        program.wait_for_output("connected\n")
        server.freeze()
        (tmp_path / "go").write_text("")
        program.wait_for_output("stalled\n", timeout_secs=60.0)
        server.thaw()
        program.wait().check()
        wait_until(lambda: server.rows() == {"text": 20_010}, timeout_secs=30.0, what="every row at the server")
    finally:
        server.end()


def test_a_flush_that_takes_too_long_says_what_is_missing(run_python: RunPython) -> None:
    run_python(
        """
        import os, signal, time
        import rerun_mp as rr
        from rerun_mp.session import current
        from rerun_mp.shm.layout import Header
        rr.init("rerun_mp_flush", send_properties=False)
        rr.flush()
        words = current.session().segment.ring.words
        rr.log("first", rr.Scalars(0.0))
        rr.flush()
        for pid in (words[Header.GUARD_PID], words[Header.WORKER_PID]):
            os.kill(pid, signal.SIGSTOP)
        for step in range(7):
            rr.log("scalar", rr.Scalars(step))
        try:
            rr.flush(timeout_sec=0.3)
        except rr.FlushTimeoutError as error:
            assert "up to 7 rows in 1 slots" in str(error), error
        else:
            raise AssertionError("nobody takes them")
        finally:
            for pid in (words[Header.GUARD_PID], words[Header.WORKER_PID]):
                os.kill(pid, signal.SIGCONT)
        rr.flush(timeout_sec=30.0)
        assert rr.statistics().delivered == 8
        """
    ).check()
