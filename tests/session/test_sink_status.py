"""`statistics().sinks` says whether each sink has every row, how far it is behind, and since when."""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import RunPython, StartPython
from tests.harness.programs import wait_until
from tests.harness.servers import Server
from tests.harness.viewers import free_port

PROGRAMS = Path(__file__).with_name("programs")


def test_the_status_follows_a_viewer_that_starts_late_and_freezes(start_python: StartPython, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    port = free_port()
    url = f"rerun+http://127.0.0.1:{port}/proxy"
    program = start_python(PROGRAMS / "viewer_states.py", tmp_path / "run.rrd", url, tmp_path / "go")
    program.wait_for_output("retrying\n")
    server = Server(tmp_path / "served.rrd", port)
    try:
        program.wait_for_output("connected\n")
        server.freeze()
        (tmp_path / "go").write_text("")
        program.wait_for_output("stalled\n")
        server.thaw()
        program.wait().check()
        wait_until(lambda: server.rows() == {"text": 20_010}, what="every row at the server")
    finally:
        server.end()


def test_a_flush_that_times_out_says_how_many_rows_are_missing(run_python: RunPython) -> None:
    run_python(PROGRAMS / "flush_timeout.py").check()
