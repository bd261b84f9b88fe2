"""`make demo` runs this example: every row arrives under every start method, and a failing viewer costs nothing."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import ROOT
from tests.harness.recordings import Row
from tests.harness.viewers import HeadlessViewer

WORKERS = 3
HANGING_VIEWER = """
import socket, sys, time
(port,) = [int(one.partition("=")[2]) for one in sys.argv if one.startswith("--port=")]
with socket.create_server(("127.0.0.1", port)):
    time.sleep(600)
"""
LINE = re.compile(
    r"^(?P<process>parent|worker_\d+) +(?P<logged>\d+) +(?P<recorded>\d+) +(?P<dropped>\d+)  (?P<ending>[^(\n]+?)"
    r"(?: \(inside a call of log\(\): (?P<in_flight>\d+)\))?$",
    re.MULTILINE,
)


@pytest.mark.parametrize("start_method", ["fork", "forkserver", "spawn"])
def test_no_row_of_any_worker_is_missing(
    start_method: str,
    tmp_path: Path,
    run_python: RunPython,
    rows_of: Callable[..., list[Row]],
    verify: Callable[..., None],
) -> None:
    """Each worker, the killed one too, has as many rows in the recording as its returned calls of log().

    The killed one may have been inside a call; the row of that call may be there or not, but only that one.
    """
    out = tmp_path / "pool.rrd"
    arguments = ("--workers", str(WORKERS), "--start-method", start_method, "--out", out)
    done = run_python(ROOT / "examples" / "pool.py", *arguments, timeout=80).check()
    table = {found["process"]: found for found in LINE.finditer(done.stdout)}
    assert list(table) == ["parent", *(f"worker_{i + 1}" for i in range(WORKERS))], done.stdout
    assert [table[f"worker_{i + 1}"]["ending"] for i in range(WORKERS)] == ["SIGKILL"] + ["exit 0"] * (WORKERS - 1)

    rows = rows_of(out)
    assert len({row.row_id for row in rows}) == len(rows)
    counted = Counter(row.entity_path.rpartition("/")[2] for row in rows)
    assert set(counted) == set(table)
    for process, found in table.items():
        logged, in_flight = int(found["logged"]), int(found["in_flight"] or 0)
        assert in_flight <= (process == "worker_1"), done.stdout
        assert logged <= counted[process] <= logged + in_flight, done.stdout
        assert counted[process] == int(found["recorded"]), done.stdout
        assert int(found["dropped"]) == 0, done.stdout
    # Killed in the middle: it had logged half of its first task, but it did not get through the second.
    assert 500 <= int(table["worker_1"]["logged"]) < sum(counted.values()) / 2
    verify(out)


NO_DISPLAY = {"DISPLAY": None, "WAYLAND_DISPLAY": None}


@pytest.mark.viewer
def test_the_demo_shows_a_viewer_without_a_display(
    tmp_path: Path, headless_viewer: HeadlessViewer, run_python: RunPython, artifacts: Path
) -> None:
    """Without a display `make demo` starts a live viewer without a window, and ends it after a screenshot."""
    headless_viewer.end()  # the fixture has shown that a viewer can draw here; the demo starts its own
    out = tmp_path / "pool.rrd"
    example = ROOT / "examples" / "pool.py"
    # A busy machine draws slowly.
    arguments = ("--workers", "2", "--out", out, "--show", "auto", "--picture-secs", "90")
    done = run_python(example, *arguments, timeout=150, env=NO_DISPLAY, fresh=True).check()
    assert "Nothing is missing" in done.stdout
    screenshot = out.with_suffix(".png").read_bytes()
    assert screenshot.startswith(b"\x89PNG")
    (artifacts / "pool.png").write_bytes(screenshot)


@pytest.mark.parametrize("failure", ["no program", "no Vulkan adapter", "a viewer that hangs"])
def test_the_demo_succeeds_without_a_picture(failure: str, tmp_path: Path, run_python: RunPython) -> None:
    """A viewer that fails costs the demo its picture: the table is there, the exit status is 0, one line says why."""
    out, stub = tmp_path / "pool.rrd", tmp_path / "stub"
    stub.mkdir()
    env = {**NO_DISPLAY, "PYTHONPATH": os.pathsep.join((str(stub), str(ROOT)))}
    if failure == "no Vulkan adapter":
        env |= {
            "VK_DRIVER_FILES": "/nonexistent",
            "VK_ICD_FILENAMES": "/nonexistent",
            "LIBGL_DRIVERS_PATH": "/nonexistent",
        }
    else:
        # This package shadows rerun's, so that the viewer's program is missing, or listens without answering.
        (stub / "rerun_cli").mkdir()
        (stub / "rerun_cli" / "__init__.py").touch()
    if failure == "a viewer that hangs":
        viewer = stub / "rerun_cli" / "rerun"
        viewer.write_text(f"#!{sys.executable}\n{HANGING_VIEWER}")
        viewer.chmod(0o700)
    example = ROOT / "examples" / "pool.py"
    # A viewer that hangs is given as long as a picture may take.
    arguments = ("--workers", "2", "--out", out, "--show", "screenshot", "--picture-secs", "5")
    done = run_python(example, *arguments, timeout=120, env=env, fresh=True).check()
    assert "Nothing is missing" in done.stdout
    assert len(re.findall("^No (?:viewer|picture)", done.stdout, re.MULTILINE)) == 1
    assert "Traceback" not in done.stderr
    assert "panicked" not in done.stderr
    assert not out.with_suffix(".png").exists()
