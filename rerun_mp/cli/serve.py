"""`rerun-mp serve`: hold a session with a name open, and give its recordings sinks.

The program takes part in the session and logs nothing. It may start before or after the processes that log, and it may
be started again. SIGTERM and SIGINT end it; if it is the last process of the session, it waits for complete files.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from rerun_mp.session import current, sink_changes
from rerun_mp.session.leaving import leave

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rerun_mp.session.config import SinkSpec

__all__ = ["serve"]

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(name: str, sinks: Sequence[SinkSpec]) -> int:
    """Hold the session with this name open until a signal comes, and return the exit status.

    Raises
    ------
    RerunMpError
        If the name is none, or the session or a sink cannot be created.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in ENDING:
        signal.signal(number, lambda *_: None)
    current.choose_session(name)
    joined = current.found_or_join()
    sink_changes.add_default_sinks(joined, sinks)
    targets = ", ".join(sink.shown_target for sink in sinks) or "no sink of its own"
    sys.stderr.write(f"rerun-mp: session {name} is open; {targets}\n")
    sys.stderr.flush()
    os.read(reader, 1)
    leave(joined)
    return 0
