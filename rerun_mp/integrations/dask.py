"""Bring the recording to the tasks on all workers of a Dask cluster.

One line does it::

    client.register_plugin(rerun_mp.integrations.dask.RerunPlugin("my_app"))

The workers may run already, and later ones get the plugin, too. If a worker is killed, Dask runs its tasks again: the
rows that they had logged stay, so the rows of these tasks are there twice.
"""

from __future__ import annotations

import os
from typing import Any

from distributed.diagnostics.plugin import WorkerPlugin

import rerun_mp as rr
from rerun_mp.integrations import clusters

__all__ = ["RerunPlugin"]


class RerunPlugin(WorkerPlugin):  # type: ignore[misc]
    """Begins the program's recording in each worker.

    Parameters
    ----------
    application_id
        The application of the program's recording, as in `rerun_mp.init`.
    """

    name = "rerun_mp"

    def __init__(self, application_id: str) -> None:
        self._variables = clusters.shared_variables(application_id)

    def setup(self, worker: Any) -> None:  # noqa: ARG002 (Dask's signature)
        """Begin the recording in a worker."""
        os.environ.update(self._variables)
        clusters.begin()

    def teardown(self, worker: Any) -> None:  # noqa: ARG002 (Dask's signature)
        """Wait until the worker's rows are on its host's disk, before the worker ends."""
        rr.flush()
