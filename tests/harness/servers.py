"""Real gRPC servers of rerun. They need no Vulkan adapter, and write what they receive to a file."""

from __future__ import annotations

import signal
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY, rows_of
from tests.harness.viewers import START_SECS, free_port, listens

__all__ = ["Server", "follower", "saved_rows"]

STOPPED = "T"
"""State of a stopped thread in /proc."""


class Server:
    """A server on a port of the loopback interface. It may not listen yet when the constructor returns."""

    def __init__(self, saved: Path, port: int) -> None:
        self.saved = saved
        self.port = port
        self.url = f"rerun+http://127.0.0.1:{port}/proxy"
        self.process = subprocess.Popen(
            [RERUN_BINARY, "--serve-grpc", "--save", saved, "--bind", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_until_listening(self) -> None:
        """Wait until a client can connect."""
        wait_until(lambda: listens(self.port), timeout_secs=START_SECS, what="the server's start")

    def freeze(self) -> None:
        """Stop it with SIGSTOP, and wait until all of its threads stand still."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        wait_until(lambda: all(_state(task) == STOPPED for task in tasks.iterdir()), what="the server's stop")

    def thaw(self) -> None:
        """Continue it with SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def rows(self) -> Counter[str]:
        """Return the number of distinct rows saved so far, by entity path."""
        return saved_rows(self.saved)

    def end(self) -> None:
        """Kill it. Harmless if it has ended."""
        self.process.kill()
        self.process.wait()


@contextmanager
def follower(url: str, saved: Path) -> Iterator[Callable[[], Counter[str]]]:
    """Follow a viewer or server as another viewer does. Yields a function that counts the distinct rows received."""
    process = subprocess.Popen(
        [RERUN_BINARY, url, "--save", saved, "--bind", "127.0.0.1", "--port", str(free_port())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield lambda: saved_rows(saved)
    finally:
        process.kill()
        process.wait()


def saved_rows(path: Path) -> Counter[str]:
    """Return the number of distinct rows of an unfinished file, by entity path."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RRD file has no footer")
        try:
            rows = {(row.entity_path, row.row_id) for row in rows_of(path)}
        except (RuntimeError, ValueError, OSError):
            return Counter()  # no file yet, or one that is cut inside a message
    return Counter(path for path, _ in rows)


def _state(task: Path) -> str:
    """Return the letter of a thread's state; its directory lies below /proc. An ended thread is stopped."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return STOPPED
