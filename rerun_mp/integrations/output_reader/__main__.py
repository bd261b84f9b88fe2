"""Usage: python -m rerun_mp.integrations.output_reader ENTITY_PATH [1] [2]. Reads the sockets of these streams."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from contextlib import suppress

from rerun_mp.integrations.output_reader import CONTINUES, FIRST_DESCRIPTOR, HAS_PAUSED, READY

__all__ = ["main"]

MAX_DEATHS = 20
"""Maximum number of killed readers that are replaced."""


def main() -> int:
    """Keep a reader running until the last writer has ended. A reader returns how it ended."""
    entity_path, streams = sys.argv[1], [int(text) for text in sys.argv[2:]]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.write(FIRST_DESCRIPTOR, READY)
    deaths, has_paused = 0, False
    while deaths < MAX_DEATHS:
        reader = os.fork()
        if reader == 0:
            if has_paused and not _await_output(len(streams)):
                return 0
            from rerun_mp.integrations.output_reader.reading import Reader

            return Reader(entity_path, streams).run()
        if has_paused:
            # The reader before has left the session, so the program's files can be complete at its end. A process that
            # was started before that end may join later.
            with suppress(OSError):
                os.write(FIRST_DESCRIPTOR, CONTINUES)
        status = os.waitpid(reader, 0)[1]
        if status == 0:
            break
        has_paused = os.waitstatus_to_exitcode(status) == HAS_PAUSED
        deaths += not has_paused
    os._exit(0)


def _await_output(streams: int) -> bool:
    """Wait for output. Returns False if no process can write any."""
    sockets = [socket.socket(fileno=os.dup(FIRST_DESCRIPTOR + place)) for place in range(1, streams + 1)]
    try:
        waiting = list(sockets)
        while waiting:
            for readable in select.select(waiting, [], [])[0]:
                if readable.recv(1, socket.MSG_PEEK):
                    return True
                waiting.remove(readable)
        return False
    finally:
        for one in sockets:
            one.close()


if __name__ == "__main__":
    sys.exit(main())
