"""P4: a frozen, killed or absent viewer costs neither program nor file anything, and later gets the missed rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.programs import Finished, Program, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.servers import Server, follower
from tests.harness.viewers import HeadlessViewer, free_port, start_headless_viewer
from tests.viewer.programs.steady import APPLICATION, WORKERS

PROGRAM = Path(__file__).with_name("programs") / "steady.py"

FROZEN_BEATS = 5
MAX_CALL_SECS = 1.0
"""A call that waits for a frozen viewer sleeps for seconds."""


class Run:
    """The program, logging to a viewer at `url` and to `path`."""

    def __init__(self, start_python: StartPython, directory: Path, url: str, *, saves: bool = True) -> None:
        self.path = directory / "run.rrd"
        self._stop = directory / "stop"
        files = [self.path] if saves else []
        self.program: Program = start_python(PROGRAM, self._stop, url, *files)

    def wait_for_beats(self, beats: int) -> None:
        """Wait until the program has logged for `beats` more seconds."""
        begun = self.program.stdout.count("beat")
        self.program.wait_for_output(f"beat {begun + beats}\n")

    def end(self) -> dict[str, int]:
        """Let the program end, check how long its calls have slept, and return the number of rows by entity."""
        self._stop.touch()
        done: Finished = self.program.wait(timeout_secs=60.0).check()
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert report["longest_secs"] < MAX_CALL_SECS
        rows: dict[str, int] = report["rows"]
        return rows

    def check_file(self, logged: dict[str, int]) -> None:
        """Check that the file is complete and holds each logged row once."""
        verify(self.path)
        rows = rows_of(self.path)
        assert Counter(row.entity_path for row in rows) == logged
        assert len({row.row_id for row in rows}) == len(rows)


def check_viewer(viewer: HeadlessViewer, logged: dict[str, int], saved: Path) -> None:
    """Check that the viewer gets the last step, each entity, and every row. Another viewer receives the rows from it.

    Other tests let the viewer print its rows. That would take too long here, because some rows are large.
    """
    steps = [sum(count for path, count in logged.items() if path.startswith(f"worker_{n}/")) for n in range(WORKERS)]

    def last_step() -> int | None:
        return next((line.end for line in viewer.schema(APPLICATION).timelines if line.name == "step"), None)

    wait_until(lambda: last_step() == max(steps) - 1, what="the last step in the viewer")
    with follower(viewer.url, saved) as rows:
        wait_until(lambda: rows() == logged, what="every row in the viewer")
    entities = {entity.entity_path.removeprefix("/") for entity in viewer.schema(APPLICATION).entities}
    assert logged.keys() <= entities


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run a server that saves its rows. It needs no Vulkan adapter."""
    running = Server(tmp_path / "served.rrd", free_port())
    running.wait_until_listening()
    try:
        yield running
    finally:
        running.end()


@pytest.mark.viewer
def test_a_frozen_viewer_costs_nothing_and_catches_up(
    headless_viewer: HeadlessViewer, start_python: StartPython, tmp_path: Path
) -> None:
    """It is frozen for seconds while the program logs to it and to a file. Later both have the same rows."""
    run = Run(start_python, tmp_path, headless_viewer.url)
    wait_until(lambda: headless_viewer.store_id(APPLICATION), what="rows in the viewer")
    headless_viewer.freeze()
    run.wait_for_beats(FROZEN_BEATS)
    headless_viewer.thaw()
    logged = run.end()
    run.check_file(logged)
    check_viewer(headless_viewer, logged, tmp_path / "followed.rrd")


def test_a_server_that_is_frozen_when_the_program_ends_delays_nothing(
    server: Server, start_python: StartPython, tmp_path: Path
) -> None:
    """Neither the program nor its file nor its session waits for the server."""
    run = Run(start_python, tmp_path, server.url)
    wait_until(server.rows, what="rows in the server")
    server.freeze()
    run.wait_for_beats(2)
    run.check_file(run.end())


@pytest.mark.viewer
@pytest.mark.parametrize("saves", [True, False], ids=["with a file", "without a file"])
def test_a_viewer_that_is_killed_and_started_again_gets_everything(
    saves: bool, headless_viewer: HeadlessViewer, start_python: StartPython, tmp_path: Path
) -> None:
    """The collector sends the rows again from the file, or without a file from its spool."""
    run = Run(start_python, tmp_path, headless_viewer.url, saves=saves)
    wait_until(lambda: headless_viewer.store_id(APPLICATION), what="rows in the viewer")
    headless_viewer.end()
    run.wait_for_beats(2)
    (tmp_path / "again").mkdir()
    again = start_headless_viewer(tmp_path / "again", port=headless_viewer.port)
    try:
        wait_until(lambda: again.store_id(APPLICATION), what="rows in the new viewer")
        logged = run.end()
        if saves:
            run.check_file(logged)
        check_viewer(again, logged, tmp_path / "followed.rrd")
    finally:
        again.end()


def test_a_late_viewer_gets_the_earlier_rows(start_python: StartPython, tmp_path: Path) -> None:
    """No server listens when the program begins."""
    server = Server(tmp_path / "served.rrd", port := free_port())
    server.end()
    run = Run(start_python, tmp_path, server.url, saves=False)
    run.wait_for_beats(2)
    server = Server(tmp_path / "served.rrd", port)
    try:
        wait_until(server.rows, what="rows in the server")
        logged = run.end()
        wait_until(lambda: server.rows() == logged, what="every row in the server")
    finally:
        server.end()


WITHOUT_VIEWER = """
import sys, time
import rerun_mp as rr
url, *files = sys.argv[1:]
rr.init("rerun_mp_absent")
rr.set_sinks(*([rr.GrpcSink(url)] if url else []), *map(rr.FileSink, files))
for step in range(1000):
    rr.set_time("step", sequence=step)
    rr.log("curve", rr.Scalars(float(step)))
"""


@pytest.mark.parametrize("saves", [True, False], ids=["with a file", "without a file"])
def test_a_viewer_that_is_never_started_costs_nothing(saves: bool, run_python: RunPython, tmp_path: Path) -> None:
    """The program ends about as soon as without a viewer (rerun itself waits for 5 s twice); its file is complete."""
    path = tmp_path / "run.rrd"
    url = f"rerun+http://127.0.0.1:{free_port()}/proxy"
    usual = run_python(WITHOUT_VIEWER, "", tmp_path / "usual.rrd").check()
    done = run_python(WITHOUT_VIEWER, url, *([path] if saves else [])).check()
    if done.elapsed_secs >= 5.0 + 2.0 * usual.elapsed_secs:  # the load of the machine may have changed
        usual = run_python(WITHOUT_VIEWER, "", tmp_path / "after.rrd").check()
        assert done.elapsed_secs < 5.0 + 2.0 * usual.elapsed_secs
    if saves:
        verify(path)
        assert [row.times["step"] for row in rows_of(path)] == list(range(1000))


REPLACED = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_replaced")
rr.connect_grpc(sys.argv[1])
for step in range(1000):
    rr.log("to_viewer", rr.Scalars(float(step)))
rr.save(sys.argv[2])
for step in range(500):
    rr.log("to_file", rr.Scalars(float(step)))
"""


def test_a_replaced_sink_gets_the_earlier_rows_and_no_others(
    server: Server, run_python: RunPython, tmp_path: Path
) -> None:
    """The program ends before the collector can have connected to the server."""
    path = tmp_path / "run.rrd"
    run_python(REPLACED, server.url, path).check()
    wait_until(lambda: server.rows() == {"to_viewer": 1000}, what="every row in the server")
    assert Counter(row.entity_path for row in rows_of(path)) == {"to_file": 500}
