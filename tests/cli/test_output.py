"""A command says in one line that it cannot write its output. If the reader has gone, it says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import COMMAND

ALONE = [sys.executable, "-m", "rerun_mp"]


def run(arguments: list[str], stdout: int) -> tuple[int, str]:
    """Run a command, and return its exit status and what it wrote to standard error."""
    done = subprocess.run(
        arguments, stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", [[*COMMAND, "status"], [*COMMAND, "--help"], [*ALONE, "recover"]])
@pytest.mark.usefixtures("place")
def test_a_full_disk_is_one_line(command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        status, said = run(command, full.fileno())
    assert (status, said) == (1, "rerun-mp: standard output cannot be written: No space left on device\n")


@pytest.mark.usefixtures("place")
def test_a_reader_that_has_gone_is_no_message() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run([*COMMAND, "status"], writer) == (1, "")
    finally:
        os.close(writer)


@pytest.mark.usefixtures("place")
def test_control_characters_and_undecodable_bytes_in_names_are_escaped(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"[red]\x1b[2J\xff.rrd")).write_bytes(b"no recording")
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(
        [*COMMAND, "runs", str(tmp_path)], capture_output=True, check=False, timeout=60, env=environment
    )
    assert done.returncode == 1
    assert b"\x1b" not in done.stdout
    assert (
        done.stdout.count(rb"[red]\x1b[2J\udcff.rrd") == 3
    )  # its name in the table and before the error, its path in the error
