"""A program watches its viewer come late, freeze and thaw; see tests/session/test_sink_status.py.

Usage: viewer_states.py FILE URL FIFO. Prints each state of the viewer; goes on after "connected" when FIFO is written.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import rerun_mp as rr


def wait_for(state: str, holds: Callable[[rr.SinkStatus], bool] = lambda _: True) -> dict[str, rr.SinkStatus]:
    """Wait until the viewer is in a state for which `holds` holds, and return the status of all sinks by kind.

    The collector tells the status some tenths of a second late.
    """
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, rr.SinkStatus] = {sink.kind: sink for sink in rr.statistics().sinks}
        viewer = found.get("grpc")
        if viewer is not None and viewer.state == state and holds(viewer):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def log(number: int) -> None:
    """Log texts that no compression makes smaller."""
    for _ in range(number):
        rr.log("text", rr.TextLog(os.urandom(500).hex()))
    rr.flush()


def main(file: str, url: str, fifo: str) -> None:
    """Log through all states."""
    rr.init("rerun_mp_status", recording_id="r", send_properties=False)
    rr.set_sinks(rr.FileSink(file), rr.GrpcSink(url))

    log(10)
    found = wait_for("retrying", lambda viewer: viewer.behind_rows == 10)
    assert "nothing answers" in (found["grpc"].failure or ""), found
    assert (found["file"].state, found["file"].target) == ("writing", file)
    retrying_since = found["grpc"].since_ns
    assert 0 < time.time_ns() - retrying_since < 60e9
    print("retrying", flush=True)

    found = wait_for("connected", lambda viewer: not viewer.behind_chunks)
    assert (found["grpc"].behind_rows, found["grpc"].failure) == (0, None), found
    assert found["grpc"].since_ns > retrying_since
    print("connected", flush=True)

    with open(fifo, encoding="utf-8") as go_on:
        go_on.read()
    for _ in range(20):
        log(1000)
    wait_for("stalled", lambda viewer: viewer.behind_rows >= 1000)
    if os.fork() == 0:
        assert {sink.state for sink in rr.statistics().sinks} == {"writing", "stalled"}
        os._exit(0)
    assert os.wait()[1] == 0
    print("stalled", flush=True)

    wait_for("connected", lambda viewer: not viewer.behind_rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
