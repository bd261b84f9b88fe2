"""gunicorn's prefork workers log each request. One worker is killed, gunicorn starts another, and no row is lost.

    pip install gunicorn
    python examples/integrations/gunicorn_service.py --out service.rrd

This file has three parts: gunicorn's configuration, the application, and a client that sends requests and kills.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from ledger import Ledger, compare

import rerun_mp as rr
from rerun_mp.integrations.gunicorn import post_fork as identify_worker

REQUESTS = 200
WORKERS = 2

# ---- gunicorn's configuration: the master reads it before it forks its workers -------------------------------------

workers = WORKERS
ledger: Ledger | None = None

if "SERVICE_RECORDING" in os.environ and __name__ != "__main__":
    rr.init("rerun_mp_service")
    rr.save(os.environ["SERVICE_RECORDING"])


def post_fork(server: Any, worker: Any) -> None:
    """Label the worker's rows. gunicorn calls this after each fork."""
    identify_worker(server, worker)


# ---- the application -----------------------------------------------------------------------------------------------


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Log a request, and answer with the worker's process id."""
    global ledger
    if ledger is None:
        ledger = Ledger(os.environ["SERVICE_LEDGER"], f"worker_{os.getpid()}")
    ledger.log("requests", rr.TextLog(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


# ---- the client ----------------------------------------------------------------------------------------------------


def ask(port: int, path: str) -> int | None:
    """Return the process id of the worker that answered; None without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return int(connection.getresponse().read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main() -> None:
    """Serve on a free port, send requests, and kill a worker halfway."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("service.rrd"))
    arguments = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", f"--config={__file__}"]
        command += [
            "--log-level=error",
            "--graceful-timeout=3",
            f"--pythonpath={Path(__file__).parent}",
            "gunicorn_service:application",
        ]
        names = {"SERVICE_RECORDING": str(arguments.out.resolve()), "SERVICE_LEDGER": directory}
        server = subprocess.Popen(command, env={**os.environ, **names})
        while ask(port, "/hello") is None and server.poll() is None:
            time.sleep(0.05)
        answered = 0
        for number in range(REQUESTS):
            worker = ask(port, f"/request/{number}")
            answered += worker is not None
            if number == REQUESTS // 2 and worker is not None:
                os.kill(worker, signal.SIGKILL)
        server.terminate()
        print(f"{answered} of {REQUESTS} requests were answered; gunicorn ended with {server.wait()}")
        compare(directory, arguments.out)


if __name__ == "__main__":
    main()
