"""gunicorn's configuration. Each worker says when it handles signals. If LAZY is set, the master loads no application.

Until then a worker has the handlers of the master that forked it, and loses a SIGTERM. gunicorn would wait 30 s for
such a worker, and then kill it.
"""

from __future__ import annotations

import os
from typing import Any

workers = 2
preload_app = "LAZY" not in os.environ
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Say that this worker handles signals."""
    worker.log.info("handles signals")
