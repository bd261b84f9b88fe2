"""Real gRPC servers of rerun, which need no Vulkan adapter: what they get they write to a file."""

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


class Server:
    """A server on a port of the loopback interface. Does not wait until it listens."""

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
        """Stop it where it is."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def rows(self) -> Counter[str]:
        """Return how many different rows it has saved so far, by entity path."""
        return saved_rows(self.saved)

    def end(self) -> None:
        """Kill it. Harmless if it has ended."""
        self.process.kill()
        self.process.wait()


@contextmanager
def follower(url: str, saved: Path) -> Iterator[Callable[[], Counter[str]]]:
    """Follow a viewer or server as another viewer would; yield what counts the different rows that it has given."""
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
    """Return how many different rows a file holds that is still being written, by entity path."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RRD file has no footer")
        try:
            rows = {(row.entity_path, row.row_id) for row in rows_of(path)}
        except (RuntimeError, ValueError, OSError):
            return Counter()  # not there yet, or cut inside a message
    return Counter(path for path, _ in rows)
