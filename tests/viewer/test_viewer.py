"""Every row that a pool logs is in a real Viewer, which lists its own rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.programs import wait_until
from tests.harness.recordings import RECORDING_PROPERTIES, rows_of, verify
from tests.harness.viewers import HeadlessViewer, find_headless_viewer, free_port
from tests.viewer.programs.workers import APPLICATION, EARLY, IMAGES, STEPS, WORKERS

if TYPE_CHECKING:
    from rerun.experimental import RecordingSchema

PROGRAM = Path(__file__).with_name("programs") / "workers.py"

pytestmark = pytest.mark.viewer

COMPONENTS = {
    "curve": ["Scalars:scalars"],
    "image": ["Image:buffer", "Image:format"],
    "text": ["TextLog:text"],
}
ROWS = {"curve": STEPS, "image": IMAGES, "text": IMAGES}


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_viewer_has_every_row_of_every_worker(
    method: str, headless_viewer: HeadlessViewer, run_python: RunPython, artifacts: Path
) -> None:
    """Also the rows from before `connect_grpc`, and those of the killed worker."""
    done = run_python(PROGRAM, method, headless_viewer.url, timeout=90.0).check()
    check_viewer(headless_viewer, returned=int(done.stdout))
    assert headless_viewer.screenshot(artifacts / f"viewer-{method}.png").stat().st_size > 10_000


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_viewer_and_the_file_have_the_same_rows(
    method: str, headless_viewer: HeadlessViewer, run_python: RunPython, tmp_path: Path
) -> None:
    """Both are sinks. The file is complete when the program has ended."""
    path = tmp_path / "run.rrd"
    done = run_python(PROGRAM, method, headless_viewer.url, path, timeout=90.0).check()
    verify(path)
    in_viewer = check_viewer(headless_viewer, returned=int(done.stdout))
    in_file: dict[str, list[bytes]] = {}
    for row in rows_of(path):
        in_file.setdefault(row.entity_path, []).append(row.row_id)
    assert {path: sorted(ids) for path, ids in in_viewer.items()} == {
        path: sorted(ids) for path, ids in in_file.items()
    }


def check_viewer(viewer: HeadlessViewer, *, returned: int) -> dict[str, list[bytes]]:
    """Check the viewer's rows of the program, and return their ids."""
    expected = {f"worker_{worker}/{name}": count for worker in range(WORKERS) for name, count in ROWS.items()}
    expected["early"] = EARLY

    def is_complete() -> bool:
        rows = viewer.rows(APPLICATION)
        return len(rows.get("victim/curve", ())) >= returned and expected.items() <= _counts(rows).items()

    wait_until(is_complete, what="every row in the viewer")
    rows = viewer.rows(APPLICATION)
    counts = _counts(rows)
    # The interrupted call may have committed its row.
    beats = counts.pop("victim/curve")
    assert beats in (returned, returned + 1)
    assert counts == expected
    ids = [row_id for entity_ids in rows.values() for row_id in entity_ids]
    assert len(set(ids)) == len(ids), "a row id occurs twice"
    _check_schema(viewer.schema(APPLICATION), beats=beats)
    return rows


def _check_schema(schema: RecordingSchema, *, beats: int) -> None:
    entities = {
        entity.entity_path: sorted(component.component for component in entity.components)
        for entity in schema.entities
        if not entity.entity_path.startswith(RECORDING_PROPERTIES)
    }
    expected = {f"/worker_{worker}/{name}": names for worker in range(WORKERS) for name, names in COMPONENTS.items()}
    assert entities == {**expected, "/early": ["Scalars:scalars"], "/victim/curve": ["Scalars:scalars"]}
    timelines = {line.name: (line.time_type, line.start, line.end) for line in schema.timelines}
    kind, start, end = timelines.pop("log_time")
    assert kind == "timestamp"
    assert start is not None
    assert end is not None
    assert 0 < end - start < 90e9
    assert timelines == {"step": ("sequence", 0, STEPS - 1), "beat": ("sequence", 0, beats - 1)}


def _counts(rows: dict[str, list[bytes]]) -> dict[str, int]:
    return {path: len(ids) for path, ids in rows.items()}


SPAWN = """
import multiprocessing, os, sys
import rerun_mp as rr
def work(worker):
    for step in range(100):
        rr.set_time("step", sequence=step)
        rr.log(f"worker_{worker}", rr.Scalars(float(step)))
    os._exit(0)
if __name__ == "__main__":
    rr.init("rerun_mp_spawned")
    rr.log("early", rr.TextLog("logged before there was a viewer"))
    rr.spawn(headless=True, port=int(sys.argv[1]), hide_welcome_screen=True, detach_process=sys.argv[2] == "detached")
    print("spawned", flush=True)
    workers = [multiprocessing.get_context("fork").Process(target=work, args=(worker,)) for worker in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
"""
EXPECTED = {"early": 1, "worker_0": 100, "worker_1": 100}


@pytest.mark.parametrize("how", ["detached", "attached"])
def test_a_program_starts_its_own_viewer(
    how: str, headless_viewer: HeadlessViewer, start_python: StartPython, artifacts: Path
) -> None:
    """After `spawn(headless=True)` the viewer listens, on the loopback interface only. Later it has every row."""
    headless_viewer.end()  # the fixture has checked that a viewer can draw here
    port = free_port()
    program = start_python(SPAWN, str(port), how)
    program.wait_for_output("spawned")
    viewer = find_headless_viewer(port, program.stdout_path)
    try:
        program.wait().check()
        wait_until(lambda: _counts(viewer.rows("rerun_mp_spawned")) == EXPECTED, what="every row in the viewer")
        assert viewer.screenshot(artifacts / "viewer-spawned.png").stat().st_size > 10_000
    finally:
        viewer.end()
