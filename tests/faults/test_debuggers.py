"""Tools that trace a program cost no row: python -m trace, pdb, coverage and debugpy."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.debug_client import DebugClient
from tests.harness.programs import ROOT
from tests.harness.recordings import rows_of
from tests.harness.viewers import free_port

PROGRAM = Path(__file__).parent / "programs" / "pool_of_numbers.py"
LINE = '        rr.log(f"worker/{worker}", rr.Scalars(float(number)))'
"""The call of the program at which the debugger stops."""
WORKERS, ROWS = 3, 200

STEPS = """\
import rerun_mp.api.log
b rerun_mp.api.log.log
c
{steps}
clear 1
c
q
"""


def run(command: list[str], directory: Path, *, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool on the program, to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    done = subprocess.run(
        command, cwd=directory, env=environment, input=stdin, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def assert_every_row_is_there_once(path: Path, workers: int, rows: int) -> None:
    """Compare the recording with what the program logs."""
    found: Counter[tuple[str, int]] = Counter()
    for row in rows_of(path):
        for component in row.components.values():
            found[row.entity_path.lstrip("/"), int(component.as_py()[0])] += 1
    expected = Counter((f"worker/{worker}", number) for worker in range(workers) for number in range(rows))
    expected.update((f"text/{worker}", number) for worker in range(workers) for number in range(0, rows, 10))
    assert found == expected


@pytest.mark.parametrize("tool", ["trace", "coverage"])
def test_a_traced_pool_loses_no_row(tool: str, tmp_path: Path) -> None:
    path, arguments = tmp_path / "rows.rrd", [str(WORKERS), str(ROWS)]
    # Lines of other packages are not traced, as `python -m trace` itself recommends.
    ignored = os.pathsep.join(sorted({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}))
    commands = {
        "trace": ["-m", "trace", "--count", "--missing", "-C", str(tmp_path / "counts"), f"--ignore-dir={ignored}"],
        "coverage": ["-m", "coverage", "run", "--branch", "--source", "rerun_mp"],
    }
    if tool != "trace":
        pytest.importorskip(tool)
    run([sys.executable, *commands[tool], str(PROGRAM), str(path), *arguments], tmp_path)
    assert_every_row_is_there_once(path, WORKERS, ROWS)


def test_an_editor_that_is_attached_to_a_pool_loses_no_row(tmp_path: Path) -> None:
    """The editor's client stops each forked worker in its first call of `log`, and steps into what that calls."""
    pytest.importorskip("debugpy")
    path, port = tmp_path / "rows.rrd", free_port()
    line = PROGRAM.read_text().splitlines().index(LINE) + 1
    client = DebugClient(port, PROGRAM, line, steps=25)
    options = ["--listen", f"127.0.0.1:{port}", "--wait-for-client"]
    run([sys.executable, "-m", "debugpy", *options, str(PROGRAM), str(path), str(WORKERS), str(ROWS)], tmp_path)
    client.wait()
    assert_every_row_is_there_once(path, WORKERS, ROWS)
    children = [session.files for session in client.sessions if session.is_child]
    assert len(children) == WORKERS, "it has not attached to every worker"
    for files in children:
        assert files[0] == str(PROGRAM), "it has not stopped at the breakpoint"
        assert [one for one in files if one.endswith("rerun_mp/api/log.py")], "it has not stepped into the call"


def test_a_program_that_is_stepped_through_in_pdb_loses_no_row(tmp_path: Path) -> None:
    """The debugger stops in the first call of `log` and goes on line by line, into whatever that calls."""
    path = tmp_path / "rows.rrd"
    code = f"""\
import rerun_mp as rr
rr.init("rerun_mp_pdb")
rr.save({str(path)!r})
for number in range(20):
    rr.log("worker/0", rr.Scalars(float(number)))
    if number % 10 == 0:
        rr.log("text/0", rr.TextLog(str(number)))
"""
    program = tmp_path / "stepped.py"
    program.write_text(code)
    done = run([sys.executable, "-m", "pdb", str(program)], tmp_path, stdin=STEPS.format(steps="s\n" * 400))
    assert done.stdout.count("-> ") > 300, "it has not stepped"
    assert_every_row_is_there_once(path, 1, 20)
