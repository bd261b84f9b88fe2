"""Receivers of a recording: rerun's own server, which saves a file, and a reader that counts the rows of a file.

The server is the native program; the `rerun` console script only wraps it. By default it listens on every interface, so
we always bind it to the loopback interface. After SIGTERM its file has no footer, and sometimes ends within a chunk.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.machine import cpu_of
from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY
from tests.harness.viewers import START_SECS, free_port, listens

__all__ = ["Counted", "RerunProgram", "count_rows", "start_follower", "start_server"]

END_SECS = 60.0


class RerunProgram:
    """A running `rerun` without a window that saves the rows that it gets."""

    def __init__(self, *arguments: str, saved: Path) -> None:
        self.port = free_port()
        self.url = f"rerun+http://127.0.0.1:{self.port}/proxy"
        self.saved = saved
        self._process = subprocess.Popen(
            [RERUN_BINARY, *arguments, "--save", saved, "--bind", "127.0.0.1", "--port", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._process.pid

    def cpu_secs(self) -> float:
        """Return the CPU seconds that it has used."""
        return cpu_of(psutil.Process(self.pid))

    def end(self) -> None:
        """Let it save its rows, and end it. Harmless if it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(END_SECS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def start_server(saved: Path, *, is_followed: bool = False) -> RerunProgram:
    """Start a server, and wait until it listens. With `is_followed` it keeps the rows in memory for followers."""
    server = RerunProgram(*(["--serve-grpc"] if is_followed else []), saved=saved)
    try:
        wait_until(lambda: listens(server.port), timeout_secs=START_SECS, what="the server's start")
    except BaseException:
        server.end()
        raise
    return server


def start_follower(server: RerunProgram, saved: Path) -> RerunProgram:
    """Follow a server as a viewer would."""
    return RerunProgram(server.url, saved=saved)


@dataclass(frozen=True, slots=True)
class Counted:
    """The rows of the workers in a recording."""

    rows: int
    """Rows of different chunks: a chunk that is in the file twice counts once."""
    chunks: int
    file_bytes: int


def count_rows(path: Path) -> Counted:
    """Count the rows of a recording, up to its end or to the place where it is cut off."""
    from rerun.chunk import RrdReader

    rows, seen = 0, set()
    with warnings.catch_warnings(), contextlib.suppress(RuntimeError):  # the reader raises it for a cut-off file
        warnings.simplefilter("ignore")  # no footer
        for chunk in RrdReader(path).stream():
            if chunk.entity_path.startswith("/work") and chunk.id not in seen:
                seen.add(chunk.id)
                rows += chunk.num_rows
    return Counted(rows, len(seen), os.stat(path).st_size)
