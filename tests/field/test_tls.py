"""A receiver behind TLS (`rerun+https://`): its rows arrive, or the program's end says which have not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import COMMAND, wait_until
from tests.harness.servers import Server
from tests.harness.tls_proxy import TlsProxy
from tests.harness.viewers import free_port

ROWS = 20
PROGRAM = f"""
import sys
import rerun_mp as rr
rr.init("rerun_mp_tls")
rr.connect_grpc(sys.argv[1])
for number in range({ROWS}):
    rr.log("a", rr.Scalars(float(number)))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path / "received.rrd", free_port())
    one.wait_until_listening()
    yield one
    one.end()


def test_rows_reach_a_receiver_behind_tls(run_python: RunPython, server: Server, tmp_path: Path) -> None:
    with TlsProxy(server.port, tmp_path) as proxy:
        done = run_python(PROGRAM, proxy.url, env=proxy.environment).check()
        assert done.stderr == ""
        wait_until(lambda: server.rows()["a"] == ROWS, what="the rows in the server's file")


def test_rows_for_a_receiver_of_an_unknown_certificate_are_kept_and_can_be_sent_later(
    run_python: RunPython, server: Server, tmp_path: Path
) -> None:
    with TlsProxy(server.port, tmp_path) as proxy:
        done = run_python(PROGRAM, proxy.url).check()
        assert f"has not acknowledged {ROWS} of {ROWS} rows" in done.stderr
        [kept] = re.findall(r"They are in (\S+)\.", done.stderr)
        run_python(COMMAND, "send", kept, proxy.url, env=proxy.environment).check()
        wait_until(lambda: server.rows()["a"] == ROWS, what="the rows in the server's file")
