"""The examples of the integrations run: each kills a worker, and the recording has every row."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

import pytest

from rerun_mp.encoding.rrd_files import is_complete
from tests.conftest import RunPython
from tests.harness.programs import ROOT, wait_until
from tests.harness.recordings import count_rows, verify
from tests.harness.requirements import need

EXAMPLES = ROOT / "examples"
LINE = re.compile(r"^(\w+) +(\d+) +(\d+)$", re.MULTILINE)
KILLED = {"process_pool": 1001, "executor": 1001, "joblib_loky": 1001, "launcher": 1001, "gunicorn_service": None}


def compared(printed: str) -> dict[str, int]:
    """Return the rows that the recording has of each worker, after comparing them with the rows it logged."""
    found = {name: (int(logged), int(recorded)) for name, logged, recorded in LINE.findall(printed)}
    assert found
    assert "every row is there" in printed
    # A worker that was killed may have been inside a call.
    assert all(logged <= recorded <= logged + 1 for logged, recorded in found.values()), printed
    return {name: recorded for name, (_, recorded) in found.items()}


@pytest.mark.parametrize("name", KILLED)
def test_every_row_is_there_although_a_worker_is_killed(name: str, run_python: RunPython, tmp_path: Path) -> None:
    out = tmp_path / "out.rrd"
    done = run_python(EXAMPLES / "integrations" / f"{name}.py", "--out", out).check()
    rows = compared(done.stdout)
    wait_until(lambda: is_complete(out), what="the end of the last worker's session")
    verify(out)
    counted = count_rows(out)
    for worker, logged in rows.items():
        assert sum(n for path, n in counted.items() if path.endswith(f"/{worker}")) == logged
    if KILLED[name] is not None:
        assert KILLED[name] in rows.values()
    else:
        assert len(rows) >= 2, "the killed worker, and another one that went on"


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=pytest.mark.soak)])
def test_pools_of_other_start_methods(method: str, run_python: RunPython, tmp_path: Path) -> None:
    out = tmp_path / "out.rrd"
    arguments = ("--out", out, "--start-method", method)
    done = run_python(EXAMPLES / "integrations" / "process_pool.py", *arguments).check()
    assert sorted(compared(done.stdout).values()) == [1001] + [2000] * 7


def test_lines_and_exceptions_of_all_processes(run_python: RunPython, tmp_path: Path) -> None:
    out = tmp_path / "out.rrd"
    done = run_python(EXAMPLES / "integrations" / "lines_and_exceptions.py", "--out", out).check()
    for number, code in enumerate((0, 1, -9)):
        assert f"worker_{number}: 500 of 500 lines, ended with {code}" in done.stdout
        assert f"the recording says: a shell of worker {number}" in done.stdout
    assert "the recording says: ValueError: worker 1 has no idea what to do" in done.stdout
    verify(out)


@cache
def python_with_torch() -> str:
    """Return an interpreter that has PyTorch: the one of the tests, or Debian's."""
    places = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
    for python in (sys.executable, "/usr/bin/python3"):
        # Only looks for them, because to import PyTorch takes seconds.
        code = f"""
import sys
from importlib.util import find_spec
assert sys.version_info[:2] == {sys.version_info[:2]!r}
assert find_spec("torch") and find_spec("numpy")
"""
        environment = {**os.environ, "PYTHONPATH": places}
        if (
            os.path.exists(python)
            and not subprocess.run([python, "-c", code], env=environment, capture_output=True, check=False).returncode
        ):
            return python
    need("PyTorch, for this Python (pip install torch, or Debian's python3-torch)", "RERUN_MP_REQUIRE_TORCH")
    raise AssertionError


def test_a_data_loader_whose_worker_is_killed(tmp_path: Path, place: Path) -> None:
    out = tmp_path / "out.rrd"
    places = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
    done = subprocess.run(
        [python_with_torch(), "-W", "ignore", str(EXAMPLES / "data_loader.py"), "--out", str(out)],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "exited unexpectedly" in done.stdout or "killed by signal" in done.stdout
    rows = compared(done.stdout)
    assert set(rows) == {"loader_0", "loader_1", "loader_2"}
    verify(out)
    counted = count_rows(out)
    assert all(counted[f"patch/{name}"] + counted[f"milliseconds/{name}"] == rows[name] for name in rows)


def test_a_failing_tests_recording_is_kept(tmp_path: Path, place: Path) -> None:
    script = tmp_path / "test_with_recording.py"
    script.write_text((EXAMPLES / "integrations" / "test_with_recording.py").read_text())
    for options, kept in (((), ["test_fails"]), (("-n", "1", "--rerun-keep"), ["test_fails", "test_passes"])):
        place_of = tmp_path / f"kept-{len(options)}"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "rerun_mp.integrations.pytest_plugin", "-c", os.devnull]
        command += ["-p", "no:cacheprovider", f"--rootdir={tmp_path}", f"--rerun-dir={place_of}", *options, str(script)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path)
        assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
        found = sorted(place_of.glob("*.rrd"))
        assert [path.stem.rpartition("test_")[2] for path in found] == [name.removeprefix("test_") for name in kept]
        for path in found:
            verify(path)
        assert str(found[0]) in done.stdout
        assert count_rows(found[0]) == {"worker": 100}
