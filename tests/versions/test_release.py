"""What must hold with each release of rerun-sdk. `python -m tests.versions` runs this with all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.servers import Server
from tests.harness.viewers import free_port
from tests.versions.programs.losing_workers import STEPS, WORKERS

PROGRAM = Path(__file__).with_name("programs") / "losing_workers.py"
KINDS = ("scalar", "text", "points", "transform", "boxes", "image", "any")
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
