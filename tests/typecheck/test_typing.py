"""A type checker sees rerun's own types through our names, and says what is wrong with a call."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.programs import ROOT

WRONG = {
    "rr.Points3D(position=[[1, 2, 3]])": "call-arg",
    "rr.log('a')": "call-arg",
    "rr.log('a', rr.Scalars(1.0), static='yes')": "arg-type",
    "rr.set_time('t', sequence='x')": "arg-type",
    "rr.no_such_name": "attr-defined",
    "rr.RecordingStream(5)": "arg-type",
    "rr.RecordingStream('a').send_property(5, rr.Scalars(1.0))": "arg-type",
    "rr.serve_grpc(grpc_port='x')": "arg-type",
    "rrb.Spatial3DView(origin=5.5, names=1)": "call-arg",
}


Found = dict[str, list[str]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Check all files at once, as users of the installed package would; return what was found in each, by its name."""
    pytest.importorskip("mypy")
    directory = tmp_path_factory.mktemp("typecheck")
    sample = Path(__file__).with_name("sample.py").read_text(encoding="utf-8")
    wrong = "\n".join(["import rerun_mp as rr", "import rerun_mp.blueprint as rrb", *WRONG]) + "\n"
    paths = {name: directory / name for name in ("sample.py", "wrong.py")}
    for path, text in zip(paths.values(), (sample, wrong), strict=True):
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", ""]
    # `make check` has other options. Sharing a cache, each would spoil the other's.
    cache = ROOT / ".mypy_cache" / "typecheck"
    cache.mkdir(parents=True, exist_ok=True)
    command += ["--cache-dir", str(cache), *map(str, paths.values())]
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker of pytest may have the same cache
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    # Without our own configuration it has something to say of our modules too, as it would not of installed ones.
    # By name: for a file that has not changed, the cache may name the directory of an earlier run.
    lines = done.stdout.splitlines()
    return {name: [line for line in lines if f"/{name}:" in line] for name in paths}


def test_a_program_is_checked_with_reruns_types(found: Found) -> None:
    assert found["sample.py"] == []


def test_wrong_calls_are_found(found: Found) -> None:
    for number, (line, code) in enumerate(WRONG.items(), 3):
        errors = found["wrong.py"]
        assert any(f"wrong.py:{number}: " in one and f"[{code}]" in one for one in errors), f"{line}: {errors}"
