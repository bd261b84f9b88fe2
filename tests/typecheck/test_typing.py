"""A type checker sees rerun's own types through our names, and says what is wrong with a call."""

from __future__ import annotations

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


def mypy(path: Path) -> list[str]:
    """Check a file as users of the installed package would; return what was found."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", "", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    # Without our own configuration it has something to say of our modules too, as it would not of installed ones.
    return [line for line in done.stdout.splitlines() if line.startswith(str(path))]


def test_a_program_is_checked_with_reruns_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    sample = Path(__file__).with_name("sample.py").read_text(encoding="utf-8")
    (tmp_path / "sample.py").write_text(sample, encoding="utf-8")
    assert mypy(tmp_path / "sample.py") == []


def test_wrong_calls_are_found(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    lines = ["import rerun_mp as rr", "import rerun_mp.blueprint as rrb", *WRONG]
    (tmp_path / "wrong.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = mypy(tmp_path / "wrong.py")
    for number, (line, code) in enumerate(WRONG.items(), 3):
        assert any(f"wrong.py:{number}: " in one and f"[{code}]" in one for one in found), f"{line}: {found}"
