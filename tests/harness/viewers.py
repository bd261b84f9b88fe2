"""Real Rerun Viewers without a window, for tests that ask the viewer what it has received."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil
from rerun.experimental import ViewerClient

from tests.harness.programs import wait_until
from tests.harness.recordings import RECORDING_PROPERTIES, RERUN_BINARY

if TYPE_CHECKING:
    from rerun.experimental import RecordingSchema

__all__ = [
    "START_SECS",
    "HeadlessViewer",
    "find_headless_viewer",
    "free_port",
    "listens",
    "start_headless_viewer",
    "vulkan_missing",
]

Answer = TypeVar("Answer")

START_SECS = 60.0
ANSWER_SECS = 60.0
ADAPTER_DIRECTORIES = ("/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")


@dataclass(frozen=True, slots=True)
class HeadlessViewer:
    """A viewer's process, and a client that queries it."""

    client: ViewerClient
    process: subprocess.Popen[bytes] | psutil.Process
    port: int
    log_path: Path
    """File of the viewer's standard output. Other programs may write to it too."""

    @property
    def url(self) -> str:
        """URL for `connect_grpc`."""
        return self.client.url

    @property
    def pid(self) -> int:
        """The id of the viewer's own process, not of a wrapper."""
        return self.process.pid

    def store_id(self, application_id: str) -> str | None:
        """Return the viewer's id of an application's recording, or None."""
        recordings = _answer(self.client.get_state).recordings
        found = [entry.store_id for entry in recordings if entry.store_id.startswith(f"Recording:{application_id}:")]
        assert len(found) <= 1, found
        return found[0] if found else None

    def schema(self, application_id: str) -> RecordingSchema:
        """Return the viewer's schema of an application's recording: entities, components, timelines."""
        store_id = self.store_id(application_id)
        return _answer(partial(self.client.get_recording_schema, store_id, max_entities=1000))

    def rows(self, application_id: str) -> dict[str, list[bytes]]:
        """Return the ids of all rows of an application in the viewer's store, by entity path.

        The viewer prints its store for this. Paths have no leading slash, row ids are TUIDs of 16 bytes, and the
        recording's properties are left out.
        """
        store_id = self.store_id(application_id)
        if store_id is None:
            return {}
        begin = self.log_path.stat().st_size
        _answer(partial(self.client.run_command, "recording.print_chunk_store", store_id=store_id))
        end = b"\n    virtual chunks: ["

        def has_been_printed() -> bool:
            return end in self._log_since(begin)

        wait_until(has_been_printed, timeout_secs=ANSWER_SECS, what="the viewer to print its store")
        rows: dict[str, list[bytes]] = {}
        path = ""
        printed, _, _ = self._log_since(begin).partition(end)
        for line in printed.decode("utf-8", errors="replace").splitlines():
            words = line.strip("│ \t").split()
            if words[:2] == ["*", "entity_path:"]:
                path = words[2]
            elif words and words[0].startswith("row_") and not path.startswith(RECORDING_PROPERTIES):
                rows.setdefault(path.removeprefix("/"), []).append(bytes.fromhex(words[0].removeprefix("row_")))
        return rows

    def _log_since(self, position: int) -> bytes:
        with self.log_path.open("rb") as log:
            log.seek(position)
            return log.read()

    def freeze(self) -> None:
        """Stop the viewer with SIGSTOP. The kernel still accepts connections for it."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the viewer with SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def screenshot(self, path: Path) -> Path:
        """Save a picture of the viewer as a PNG at `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_answer(self.client.take_screenshot))
        return path

    def end(self) -> None:
        """Kill the viewer. Harmless if it is stopped or has ended."""
        try:
            self.process.kill()
            self.process.wait()
        except psutil.NoSuchProcess:
            pass


def _answer(call: Callable[[], Answer]) -> Answer:
    """Make a call of a viewer's client until the viewer answers.

    The client's timeout is fixed, and drawing in software takes longer on a busy machine.
    """
    deadline = time.monotonic() + ANSWER_SECS
    while True:
        try:
            return call()
        except TimeoutError:
            if time.monotonic() > deadline:
                raise


def vulkan_missing() -> str | None:
    """Return the missing part that a viewer needs to draw, or None."""
    try:
        ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return "the Vulkan loader, libvulkan.so.1 (Debian: libvulkan1)"
    named = os.environ.get("VK_DRIVER_FILES") or os.environ.get("VK_ICD_FILENAMES")
    if not named and not any(list(Path(directory).glob("*.json")) for directory in ADAPTER_DIRECTORIES):
        return "a Vulkan adapter (Debian: mesa-vulkan-drivers has one in software)"
    return None


def free_port() -> int:
    """Return an unused TCP port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_headless_viewer(directory: Path, *, port: int | None = None) -> HeadlessViewer:
    """Start a viewer that listens on the loopback interface only, and wait until it answers.

    `ViewerClient.spawn` would make it listen on every interface, which a test must not do.

    Raises
    ------
    RuntimeError
        If it ends or does not answer in time, with its output.
    """
    port = free_port() if port is None else port
    log_path = directory / f"viewer-{port}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                RERUN_BINARY,
                "--headless",
                "--bind=127.0.0.1",
                f"--port={port}",
                "--expect-data-soon",
                "--hide-welcome-screen",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "RERUN_APP_ONLY": "true"},
            process_group=0,
        )
    try:
        wait_until(
            lambda: process.poll() is not None or listens(port), timeout_secs=START_SECS, what="the viewer's start"
        )
        viewer = HeadlessViewer(ViewerClient.connect(f"rerun+http://127.0.0.1:{port}/proxy"), process, port, log_path)
        _answer(viewer.client.get_state)
    except Exception as error:
        process.kill()
        process.wait()
        raise RuntimeError(f"the viewer did not start: {error}\n{log_path.read_text(errors='replace')}") from error
    return viewer


def find_headless_viewer(port: int, log_path: Path) -> HeadlessViewer:
    """Return the viewer that a program has started on `port`, with its output in `log_path`.

    Raises
    ------
    AssertionError
        If no process listens there, or one listens on another address than the loopback interface's.
    """
    sockets = [entry for entry in psutil.net_connections("tcp") if entry.status == psutil.CONN_LISTEN]
    found = [(entry.laddr.ip, entry.pid) for entry in sockets if entry.laddr and entry.laddr.port == port]
    assert [address for address, _ in found] == ["127.0.0.1"], f"listening on port {port}: {found}"
    pid = found[0][1]
    assert pid is not None, "the viewer is just ending"
    client = ViewerClient.connect(f"rerun+http://127.0.0.1:{port}/proxy")
    return HeadlessViewer(client, psutil.Process(pid), port, log_path)


def listens(port: int) -> bool:
    """Return whether a process listens on a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
