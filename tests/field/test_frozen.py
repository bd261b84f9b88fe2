"""A frozen program is its own collector: it is started again, becomes one, and runs no line of the user's twice."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from rerun_mp.integrations import pyinstaller
from tests.harness.programs import PROGRAM_SECS, ROOT, wait_until
from tests.harness.recordings import Row
from tests.harness.requirements import need_field

RowsOf = Callable[..., list[Row]]

ROWS = 10
PROGRAM = f"""
import sys
print("user code", flush=True)
import rerun_mp as rr
rr.init("rerun_mp_frozen")
rr.save(sys.argv[1])
for number in range({ROWS}):
    rr.log("row", rr.Scalars(number))
"""
NOT_NEEDED = (
    "IPython",
    "PIL",
    "anywidget",
    "dask",
    "datafusion",
    "distributed",
    "fsspec",
    "gevent",
    "hypothesis",
    "ipywidgets",
    "joblib",
    "matplotlib",
    "mypy",
    "networkx",
    "opentelemetry",
    "pandas",
    "pytest",
    "ray",
    "rerun_notebook",
    "rich",
    "scipy",
    "skimage",
    "tkinter",
    "tornado",
    "typer",
    "yaml",
)


# To pack and compress one file of 160 MB takes minutes.
ONE_FILE = pytest.param("--onefile", marks=[pytest.mark.soak, pytest.mark.timeout(1200)])


@pytest.mark.parametrize("form", ["--onedir", ONE_FILE])
def test_a_program_frozen_by_pyinstaller_logs(form: str, tmp_path: Path, place: Path, rows_of: RowsOf) -> None:
    """A program of one file unpacks itself into a temporary directory, and its collector does so once more."""
    source, path = tmp_path / "frozen.py", tmp_path / "run.rrd"
    source.write_text(PROGRAM)
    program = _freeze(source, tmp_path, form)
    done = subprocess.run([program, path], capture_output=True, text=True, timeout=PROGRAM_SECS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "user code\n", "")
    assert len(rows_of(path)) == ROWS
    # Guard and worker remove what they have unpacked when they end, which may be after the program's end.
    wait_until(lambda: not list(Path(tempfile.gettempdir()).glob("_MEI*")), what="the end of guard and worker")


def _freeze(source: Path, place: Path, form: str) -> Path:
    command = [
        *(need_field("pyinstaller"), form, "--noconfirm", "--log-level=ERROR", f"--paths={ROOT}"),
        *(f"--distpath={place / 'dist'}", f"--workpath={place / 'build'}", f"--specpath={place}"),
        *(f"--additional-hooks-dir={directory}" for directory in pyinstaller.hook_directories()),
        *(f"--exclude-module={name}" for name in NOT_NEEDED),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = place / "dist" / source.stem
    return made / source.stem if form == "--onedir" else made


def test_pyinstaller_finds_the_hooks_by_the_packages_entry_point() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pyinstaller40"]
    assert declared == {"hook-dirs": f"{pyinstaller.__name__}:{pyinstaller.hook_directories.__name__}"}
    assert (Path(pyinstaller.hook_directories()[0]) / "hook-rerun_mp.py").is_file()


@pytest.mark.parametrize("is_without_shell", [False, True])
def test_another_freezers_program_becomes_a_collector_at_the_import(
    is_without_shell: bool, tmp_path: Path, place: Path, rows_of: RowsOf
) -> None:
    """There, the user's lines before `import rerun_mp` run again in guard and worker; no other line does."""
    program, path = tmp_path / "program", tmp_path / "run.rrd"
    shell = "from rerun_mp.hooks import detached; detached.SHELL = '/nowhere/sh'\n" if is_without_shell else ""
    frozen = f"import sys; sys.frozen = True; sys.executable = {str(program)!r}\n"
    (tmp_path / "code.py").write_text(
        frozen + PROGRAM.replace("import rerun_mp", f"sys.path.insert(0, {str(ROOT)!r})\n{shell}import rerun_mp", 1)
    )
    program.write_text(f"#!{sys.executable}\n" + (tmp_path / "code.py").read_text())
    program.chmod(0o700)
    done = subprocess.run([program, path], capture_output=True, text=True, timeout=PROGRAM_SECS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "user code\n", "")
    assert len(rows_of(path)) == ROWS
