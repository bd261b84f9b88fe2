"""The rows for a viewer that is not there are kept, and the user is told where, also if a file takes its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import StartPython
from tests.harness.recordings import rows_of
from tests.harness.sessions import SessionWatch
from tests.harness.viewers import free_port

PROGRAM = """\
    import sys
    import rerun_mp as rr
    rr.init("rerun_mp_replaced")
    rr.connect_grpc(sys.argv[2])
    for number in range(54):
        rr.log("viewer", rr.Scalars(float(number)))
    rr.flush()
    print("logged", flush=True)
    open(sys.argv[3]).read()
    rr.save(sys.argv[1])
    for number in range(2):
        rr.log("file", rr.Scalars(float(number)))
"""


@pytest.mark.parametrize("kills", [False, True], ids=["one worker", "worker killed"])
def test_rows_for_a_viewer_that_a_file_has_replaced_are_kept(
    start_python: StartPython, place: Path, tmp_path: Path, *, kills: bool
) -> None:
    """A worker that begins after that knows nothing of the viewer."""
    watch, out = SessionWatch(), tmp_path / "out.rrd"
    url = f"rerun+http://127.0.0.1:{free_port()}/proxy"
    begin = tmp_path / "begin"
    os.mkfifo(begin)
    program = start_python(PROGRAM, out, url, begin, env=watch.environment)
    program.wait_for_output("logged")
    if kills:
        watch.kill_running("guard", "worker")
    begin.write_bytes(b"x")
    done = program.wait().check()
    assert {row.entity_path for row in rows_of(out)} == {"file"}
    (unsent,) = (place / "data").rglob("*-54-rows.rrd")
    assert [row.entity_path for row in rows_of(unsent)] == ["viewer"] * 54
    said = "no viewer is known to have 54 rows" if kills else f"{url} has not acknowledged 54 of 54 rows"
    assert f"{said} of 'rerun_mp_replaced'. They are in {unsent}. Send them with" in done.stderr
