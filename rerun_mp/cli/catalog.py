"""Rerun's catalog server over the parts of a head: one dataset, one layer for each part, for queries.

The server forgets all that was registered when it ends. So this process, which starts it, registers every part again
then. The files stay where they are; the server reads them. It needs `rerun-sdk[catalog]`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from rerun_mp.errors import ViewerError
from rerun_mp.session.waiting import wait_until
from rerun_mp.shipping.parts import parts_below
from rerun_mp.viewers import spawn as viewer

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DATASET", "Catalog"]

DATASET = "runs"
"""Name of the dataset with all parts. A recording is a segment of it, and a part one of that segment's layers."""
START_SECS = 20.0
"""Maximum seconds until the server listens."""
BATCH = 100
"""Parts that are registered in one request."""


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

    def update(self) -> None:
        """Register the parts that have come. Start the server again if it has ended."""
        if self._server.poll() is not None:
            sys.stderr.write(f"rerun-mp: the catalog has ended with {self._server.returncode}; it is started again\n")
            self._begin()
        new = [(part, path) for part, path in parts_below(self._directory) if path not in self._known]
        for begin in range(0, len(new), BATCH):
            batch = new[begin : begin + BATCH]
            self._dataset.register(
                [path.resolve().as_uri() for _, path in batch],
                layer_name=[f"{part.node}.{part.number:04}" for part, _ in batch],
                on_duplicate=self._module.OnDuplicateSegmentLayer.SKIP,
            ).wait()
            self._known.update(path for _, path in batch)

    def close(self) -> None:
        """End the server."""
        self._server.kill()
        self._server.wait()

    def _begin(self) -> None:
        command = [viewer.program(), "server", "--host", viewer.LOOPBACK, "--port", str(self._port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RERUN_MP_")}
        self._server = subprocess.Popen(
            command, env=environment | {"RUST_LOG": "error"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self._known: set[Path] = set()
        if not wait_until(lambda: self._server.poll() is not None or viewer.is_there(self._port), START_SECS) or (
            self._server.poll() is not None
        ):
            self.close()
            raise ViewerError(f"the catalog did not start: {' '.join(command)}")
        client = self._module.CatalogClient(self.url)
        self._dataset: Any = client.create_dataset(DATASET)
