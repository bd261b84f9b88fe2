"""The other examples run: each prints what it did, and the recording agrees."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import rerun_mp as rr
from tests.conftest import RunPython
from tests.examples.test_integrations import EXAMPLES, compared
from tests.harness.programs import wait_until
from tests.harness.recordings import count_rows, rows_of, verify
from tests.harness.sessions import SessionWatch


def test_a_pipeline_goes_on_without_the_stage_that_was_killed(run_python: RunPython, tmp_path: Path) -> None:
    out = tmp_path / "out.rrd"
    done = run_python(EXAMPLES / "pipeline.py", "--out", out).check()
    assert "the stage `edges` was killed at item 13; another one goes on" in done.stdout
    assert "26 of 27 pictures were measured" in done.stdout
    assert compared(done.stdout) == {"read": 54, "blur": 54, "edges": 54, "measure": 52}
    verify(out)


def test_each_episode_of_a_long_run_has_a_file(run_python: RunPython, tmp_path: Path) -> None:
    done = run_python(EXAMPLES / "long_run.py", "--out", tmp_path / "out.rrd").check()
    parts = rr.parts(tmp_path / "out.rrd")
    assert done.stdout.splitlines() == [f"{part.path}: 2001 rows" for part in parts[:1]] + [
        f"{part.path}: 2000 rows" for part in parts[1:]
    ]
    assert len(parts) == 3
    for part in parts:
        verify(part.path)
        assert count_rows(part.path) == {"world": 1, **{f"robots/{worker}": 500 for worker in range(4)}}


def test_a_black_box_keeps_the_last_rows_and_writes_them_on_demand(run_python: RunPython, tmp_path: Path) -> None:
    box, incident = tmp_path / "box.rrd", tmp_path / "incident.rrd"
    given = ("--out", box, "--incident", incident, "--seconds", "2", "--window", "0.6")
    done = run_python(EXAMPLES / "black_box.py", *given).check()
    found = re.fullmatch(r"(\d+) torques were logged; the last 0.6 s are (\d+) rows; see .*\n", done.stdout)
    assert found is not None
    logged, kept = map(int, found.groups())
    verify(incident)
    seen = count_rows(incident)
    assert (seen["faults"], seen["robot"]) == (1, 1)
    assert 3 < seen.total() < logged
    assert 0 < kept < logged


def test_a_training_that_was_killed_goes_on_in_its_recording(run_python: RunPython, tmp_path: Path) -> None:
    out, watch = tmp_path / "out.rrd", SessionWatch()
    killed = run_python(EXAMPLES / "resumed.py", "--out", out, env=watch.environment)
    assert killed.returncode == -signal.SIGKILL
    # Its loaders may still log, and no other program adds to the file meanwhile.
    wait_until(lambda: not watch.segment.exists(), what="the end of the session")
    done = run_python(EXAMPLES / "resumed.py", "--out", out).check()
    assert f"epochs 1 to 3 are in {out}" in done.stdout
    verify(out)
    assert count_rows(out) == {"loss": 450, "loaders/0/seconds": 500, "loaders/1/seconds": 500}


def test_a_paused_recording_has_the_rows_of_the_rounds_between(run_python: RunPython, tmp_path: Path) -> None:
    """A worker may log a row, or in the middle of a change rows of a quarter of a second, after the pause."""
    done = run_python(EXAMPLES / "pause.py", "--out", tmp_path / "out.rrd").check()
    assert done.stdout == "3600 calls, 1800 of them while the recording was not paused\n"
    verify(tmp_path / "out.rrd")
    steps = [row.times["step"] for row in rows_of(tmp_path / "out.rrd") if row.entity_path.startswith("wheels/")]
    assert sum(step // 200 % 2 == 0 for step in steps) == 1800
    assert 1800 <= len(steps) < 3600


def test_a_head_has_every_row_of_a_program(run_python: RunPython, tmp_path: Path) -> None:
    done = run_python(EXAMPLES / "head.py", "--dir", tmp_path / "runs").check()
    assert "stored 800  acknowledged 800 in 1 parts" in done.stdout
    (part,) = tmp_path.glob("runs/*/*/*.rrd")
    verify(part)
    assert count_rows(part, below="tasks/") == {f"tasks/{task}": 100 for task in range(8)}


def test_each_frame_of_a_camera_is_stored_or_counted_as_dropped(run_python: RunPython, tmp_path: Path) -> None:
    out = tmp_path / "out.rrd"
    done = run_python(EXAMPLES / "camera.py", "--out", out, "--seconds", "3").check()
    filmed = {name: int(frames) for name, frames in re.findall(r"^(\w+): (\d+) frames", done.stdout, re.MULTILINE)}
    table = re.findall(r"^(\w+) +(\d+) +(\d+) +(\d+) +(\d+)$", done.stdout, re.MULTILINE)
    assert {name for name, *_ in table} == set(filmed) == {"left", "right"}
    counts = count_rows(out)
    for name, *numbers in table:
        logged, delivered, dropped, recorded = map(int, numbers)
        assert logged == filmed[name] == delivered + dropped
        assert recorded == delivered == counts[f"cameras/{name}"]
    verify(out)


def test_a_killed_program_is_recovered(run_python: RunPython, tmp_path: Path) -> None:
    out = tmp_path / "out.rrd"
    done = run_python(EXAMPLES / "recover.py", "--out", out).check()
    assert compared(done.stdout) == {"program": 5000}
    assert "killed the program" in done.stdout
    verify(out)
    assert count_rows(out) == {"number/program": 5000}


def test_a_viewer_gets_what_the_rules_allow(run_python: RunPython, tmp_path: Path) -> None:
    out = tmp_path / "out.rrd"
    done = run_python(EXAMPLES / "rules.py", "--out", out).check()
    small = tmp_path / "out.small.rrd"
    assert done.stdout == f"stored 220, sent 24, held back 196\n{small} has 10 rows, and 210 are held back\n"
    assert sum(count_rows(out).values()) == 220
    verify(small)
    assert count_rows(small) == {"numbers/0": 5, "numbers/1": 5}


def test_the_scene_is_there_with_rerun_mp_and_not_with_rerun(run_python: RunPython, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.rrd", tmp_path / "theirs.rrd"
    run_python(EXAMPLES / "scene.py", "--out", ours).check()
    counts = count_rows(ours)
    assert counts["world/cloud"] == 30
    assert counts["augmented/0"] == counts["augmented/1"] == 20
    assert counts["world/arm/trail"] == 120
    assert counts["loss/train"] == 120 + 1
    run_python(EXAMPLES / "scene.py", "--out", theirs, "--sdk", "rerun", fresh=True).check()
    assert not [row for row in rows_of(theirs) if row.entity_path.startswith(("world", "augmented", "loss"))]
