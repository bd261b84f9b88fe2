"""What must hold with each release of rerun-sdk. `python -m tests.versions` runs this with all of them."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.compat import versions
from tests.conftest import RunPython
from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY, rows_of, verify
from tests.harness.requirements import need
from tests.harness.servers import Server
from tests.harness.viewers import START_SECS, free_port, listens, vulkan_missing
from tests.versions.programs.losing_workers import STEPS, WORKERS

PROGRAM = Path(__file__).with_name("programs") / "losing_workers.py"
KINDS = ("scalar", "text", "points", "transform", "boxes", "image", "any\\ value")
EXPECTED = Counter(
    {f"{kind}/{number}": STEPS for kind in KINDS for number in range(WORKERS)}
    | {f"column/{number}": 2 for number in range(WORKERS)}
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run this release's own server."""
    one = Server(tmp_path / "received.rrd", free_port())
    try:
        one.wait_until_listening()
        yield one
    finally:
        one.end()


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[str]:
    """Run this release's own viewer without a window, and return its URL."""
    if versions.minor_release(versions.installed()) < (0, 33):
        pytest.skip("its viewer always opens a window")
    need(vulkan_missing(), "RERUN_MP_REQUIRE_VIEWER")
    port = free_port()
    with (tmp_path / "viewer.log").open("wb") as log:
        command: list[str | Path] = [
            RERUN_BINARY,
            "--headless",
            "--bind=127.0.0.1",
            f"--port={port}",
            "--hide-welcome-screen",
        ]
        environment = {**os.environ, "RERUN_APP_ONLY": "true"}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        wait_until(lambda: process.poll() is not None or listens(port), timeout_secs=START_SECS, what="the viewer")
        assert process.poll() is None, (tmp_path / "viewer.log").read_text()
        yield f"rerun+http://127.0.0.1:{port}/proxy"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("method", "death"),
    [
        ("fork", "returned"),
        ("fork", "exited"),
        ("fork", "killed"),
        ("forkserver", "killed"),
        ("spawn", "exited"),
        ("spawn", "killed"),
    ],
)
def test_a_dying_worker_costs_no_row(method: str, death: str, run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    run_python(PROGRAM, path, method, death).check()
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == EXPECTED


def test_the_releases_server_gets_every_row(server: Server, run_python: RunPython) -> None:
    run_python(PROGRAM, server.url, "fork", "killed").check()
    wait_until(lambda: sum(server.rows()[path] for path in EXPECTED) == EXPECTED.total(), what="the rows at the server")


def test_the_releases_viewer_acknowledges_every_row(viewer: str, run_python: RunPython) -> None:
    """It answers for a row once it has it. The program prints what its sink has acknowledged."""
    done = run_python(PROGRAM, viewer, "fork", "killed").check()
    assert int(done.stdout) >= EXPECTED.total()


def test_a_server_of_the_collector_gives_every_row(run_python: RunPython, tmp_path: Path) -> None:
    """`serve_grpc`, for which releases before 0.36 have no sink."""
    run_python(
        """
        import os, sys
        from pathlib import Path
        import rerun_mp as rr
        from tests.harness.programs import wait_until
        from tests.harness.servers import follower
        rr.init("rerun_mp_versions", send_properties=False)
        uri = rr.serve_grpc(grpc_port=0)
        if os.fork() == 0:
            rr.log("child", rr.Scalars(1.0))
            os._exit(0)
        os.wait()
        with follower(uri, Path(sys.argv[1])) as received:
            wait_until(lambda: received()["child"] == 1, what="the child's row at a viewer")
        """,
        tmp_path / "followed.rrd",
    ).check()
