"""A program that `rerun-mp run` has started, for the tests of several subcommands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.commands import COMMAND


@pytest.fixture
def running(tmp_path: Path, place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a program that logs a row and then sleeps. Yields the command and the path of the file."""
    path = tmp_path / "run.rrd"
    code = (
        "import rerun as rr, time; rr.init('rerun_mp_run'); rr.log('a', rr.Scalars(1.0)); print('x', flush=True);"
        "time.sleep(600)"
    )
    command = [*COMMAND, "run", "--save", str(path), "--", sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "x\n"
        try:
            yield process, path
        finally:
            for child in psutil.Process(process.pid).children() if process.poll() is None else ():
                child.kill()
