"""Rerun's catalog server over the parts of a head: one dataset, one layer for each part, for queries.

The server forgets all that was registered when it ends. So this process, which starts it, registers every part again
then. The files stay where they are; the server reads them. It needs `rerun-sdk[catalog]`.

A thread registers parts, because no call of the client has a time limit. The main thread kills a server that does not
answer, which ends the call.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from rerun_mp.cli.child_server import start_child_server
from rerun_mp.errors import ViewerError
from rerun_mp.session.waiting import wait_until
from rerun_mp.shipping.parts import parts_below
from rerun_mp.standard_error import tell
from rerun_mp.viewers import spawn as viewer

if TYPE_CHECKING:
    from pathlib import Path

    from rerun_mp.shipping.parts import PartName

__all__ = ["DATASET", "Catalog"]

DATASET = "runs"
"""Name of the dataset with all parts. A recording is a segment of it, and a part one of that segment's layers."""
START_SECS = 20.0
"""Maximum seconds until the server listens."""
BATCH = 100
"""Parts that are registered in one request."""
LOOK_SECS = 1.0
"""Seconds between two looks for new parts."""
MAX_PAUSE_SECS = 30.0
"""Maximum seconds between two looks if they fail. Each pause is twice as long as the one before."""
ANSWER_SECS = 60.0
"""Seconds after which a server that has not registered a batch is killed."""
END_SECS = 2.0
"""Maximum seconds that the end waits for the thread."""


class Catalog:
    """A catalog server on the loopback interface, and what has been registered in it.

    Raises
    ------
    ViewerError
        If rerun-sdk's client needs a package that is not installed, or the server does not start.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self.url = f"rerun+http://{viewer.LOOPBACK}:{port}"
        self._directory = directory
        self._port = port
        self._asked: float | None = None
        """When the client's present call began (monotonic seconds); None: there is none."""
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            from rerun import catalog

            self._module: Any = catalog
        except ImportError as error:
            raise ViewerError(
                f"{error.name} is not installed; install it with: pip install 'rerun-sdk[catalog]'"
            ) from error
        self._begin()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.pid

    def follow(self) -> None:
        """Have a thread register parts as they come, and start the server again if it ends, until `close`."""
        self._thread = threading.Thread(target=self._run, name="rerun_mp-catalog", daemon=True)
        self._thread.start()

    def end_if_frozen(self) -> None:
        """Kill the server if it has not answered for `ANSWER_SECS`. The thread starts another one."""
        asked = self._asked
        if asked is not None and time.monotonic() > asked + ANSWER_SECS:
            tell(f"rerun-mp: the catalog has not answered for {ANSWER_SECS:g} s; it is killed\n")
            self._asked = None
            self._server.kill()

    def update(self) -> None:
        """Register the parts that have come. Start the server again if it has ended.

        A part that the server refuses is named on standard error and left out.

        Raises
        ------
        ViewerError
            If the server does not start.
        Exception
            Other kinds, those of rerun-sdk's client, if the server goes away.
        """
        if self._server.poll() is not None:
            tell(f"rerun-mp: the catalog has ended with {self._server.returncode}; it is started again\n")
            self._begin()
        new = [(part, path) for part, path in parts_below(self._directory) if path not in self._known]
        for begin in range(0, len(new), BATCH):
            batch = new[begin : begin + BATCH]
            try:
                self._register(batch)
            except Exception:  # a part may be damaged or gone, for which the client has no common error
                if self._server.poll() is not None:
                    raise
                self._register_each(batch)

    def _register_each(self, parts: list[tuple[PartName, Path]]) -> None:
        for part, path in parts:
            try:
                self._register([(part, path)])
            except Exception as error:
                if self._server.poll() is not None or isinstance(error, ConnectionError):
                    raise
                self._known.add(path)
                tell(f"rerun-mp: the catalog lacks {path}: {_first_line(error)}\n")

    def _register(self, parts: list[tuple[PartName, Path]]) -> None:
        self._asked = time.monotonic()
        try:
            self._dataset.register(
                [path.resolve().as_uri() for _, path in parts],
                layer_name=[f"{part.node}.{part.number:04}" for part, _ in parts],
                on_duplicate=self._module.OnDuplicateSegmentLayer.SKIP,
            ).wait()
        finally:
            self._asked = None
        self._known.update(path for _, path in parts)

    def _run(self) -> None:
        pause_secs, said = 0.0, ""
        while not self._stopped.wait(pause_secs):
            try:
                self.update()
            except Exception as error:  # noqa: BLE001 (the client has no common error; the head goes on)
                pause_secs = min(max(2 * pause_secs, LOOK_SECS), MAX_PAUSE_SECS)
                if said != (said := _first_line(error)) and not self._stopped.is_set():
                    tell(f"rerun-mp: the catalog: {said}; it is tried again\n")
            else:
                pause_secs, said = LOOK_SECS, ""

    def close(self) -> None:
        """End the thread and the server."""
        self._stopped.set()
        self._server.kill()
        if self._thread is not None:
            self._thread.join(END_SECS)
            self._server.kill()  # the thread may have started another one
        self._server.wait()

    def _begin(self) -> None:
        command = [viewer.program(), "server", "--host", viewer.LOOPBACK, "--port", str(self._port)]
        self._server = start_child_server(command)
        self._known: set[Path] = set()

        def has_started() -> bool:
            return self._server.poll() is not None or viewer.is_there(self._port, START_SECS)

        if not wait_until(has_started, START_SECS) or self._server.poll() is not None:
            self._server.kill()
            self._server.wait()
            raise ViewerError(f"the catalog did not start: {' '.join(command)}")
        self._asked = time.monotonic()
        try:
            self._dataset: Any = self._module.CatalogClient(self.url).create_dataset(DATASET)
        finally:
            self._asked = None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
