"""uWSGI embeds Python and forks in C; gunicorn's gevent workers replace `os`: every request's row reaches the file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.programs import PROGRAM_SECS, ROOT, wait_until
from tests.harness.recordings import Row
from tests.harness.requirements import need_field
from tests.harness.sessions import SessionWatch

PROGRAMS = Path(__file__).parent / "programs"
REQUESTS = 12
UWSGI = ["--die-on-term", "--need-app", f"--wsgi-file={PROGRAMS / 'wsgi_app.py'}"]
CONFIGURATIONS = {
    "uwsgi, the master loads and forks": [*UWSGI, "--master", "--processes=2", "--enable-threads"],
    "uwsgi, each worker loads": [*UWSGI, "--master", "--processes=2", "--enable-threads", "--lazy-apps"],
    "uwsgi, without threads": [*UWSGI, "--master", "--processes=2"],
    "uwsgi, one process": UWSGI,
    "gunicorn, gevent": [
        f"--config={PROGRAMS / 'gunicorn_settings.py'}",
        "--worker-class=gevent",
        "wsgi_app:application",
    ],
    "gunicorn, workers are replaced": [
        f"--config={PROGRAMS / 'gunicorn_settings.py'}",
        "--max-requests=4",
        "wsgi_app:application",
    ],
    "gunicorn, each worker loads": [
        f"--config={PROGRAMS / 'gunicorn_settings.py'}",
        "--workers=1",
        "--max-requests=4",
        "wsgi_app:application",
    ],
}
"""The last has one worker at a time. Of several, each would have a file of its own."""


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_rows_of_every_request_arrive(
    configuration: str, tmp_path: Path, place: Path, rows_of: Callable[..., list[Row]]
) -> None:
    path, watch = tmp_path / "run.rrd", SessionWatch()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server_name = configuration.split(",", maxsplit=1)[0]
    if server_name == "uwsgi":
        options = [f"--http-socket=127.0.0.1:{port}", f"--home={sys.prefix}", f"--pythonpath={ROOT}"]
    else:
        need_field("gevent" if "gevent" in configuration else server_name)
        options = [f"--bind=127.0.0.1:{port}", f"--chdir={PROGRAMS}", f"--pythonpath={ROOT}"]
    command = [need_field(server_name), *options, *CONFIGURATIONS[configuration]]
    lazy = {"LAZY": "1"} if configuration == "gunicorn, each worker loads" else {}
    log, environment = tmp_path / "server.log", {**os.environ, **watch.environment, **lazy, "RUN": str(path)}
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: _answers(port) or server.poll() is not None, timeout_secs=PROGRAM_SECS, what=server_name)
        for number in range(1, REQUESTS):
            _ask(port, number)
        if server_name == "gunicorn":
            workers = 1 if lazy else 2
            wait_until(lambda: _handle_signals(log.read_text()) == workers, what="gunicorn's workers")
        # A server that is ended before its collector runs is a killed program: the next one recovers its rows.
        watch.collector("worker")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PROGRAM_SECS)
    wait_until(lambda: not any(watch.collectors().values()), what="the end of the collector")
    numbers = {row.components["Scalars:scalars"].as_py()[0] for row in rows_of(path)}
    assert numbers == set(range(REQUESTS)), log.read_text()


def _handle_signals(log: str) -> int:
    """Return the number of gunicorn's workers that have begun to handle signals and not ended."""
    return log.count("handles signals") - log.count("Worker exiting")


def _answers(port: int) -> bool:
    try:
        _ask(port, 0)
    except OSError:
        return False
    return True


def _ask(port: int, number: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{number}", timeout=PROGRAM_SECS) as answer:
        assert answer.read()
