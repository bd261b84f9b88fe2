"""The viewer freezes before it gets the rows; the process ends all the same.

Usage: python -m tests.collector.programs.frozen_at_exit SPOOL FILE URL PID, of which PID is the viewer's.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rerun_mp.collector.live import LiveSink
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.session.config import SinkSpec
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING, blob
from tests.collector.store.made_stores import file_spec
from tests.harness.programs import wait_until


def main(spool: Path, out: Path, url: str, viewer: int) -> None:
    """Freeze the viewer, store 30 MB, and close the sink."""
    store = RecordingStore(RECORDING, spool, NONCE)
    store.set_files([file_spec(out)])
    sink = LiveSink(SinkSpec("grpc", url), store)
    wait_until(lambda: sink.report().state == "connected", timeout_secs=30)
    os.kill(viewer, signal.SIGSTOP)
    for number in range(30):
        store.append([blob(number)])
        store.flush(10)
        sink.wake()
    wait_until(lambda: sink.report().state == "stalled")
    finish(store)
    sink.close(0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
