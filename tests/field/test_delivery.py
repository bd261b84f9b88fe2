"""Rows that no viewer has acknowledged at the end stay on disk, and the program says where and how to send them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import COMMAND, Finished, slowdown, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.servers import Server
from tests.harness.viewers import free_port

PROGRAM = Path(__file__).with_name("programs") / "receiver_that_ends.py"
ROWS = 200
MAX_EXIT_SECS = 2.0
LOAD_FACTOR = 4.0
"""How much longer an exit may take, beyond what the machine's other work explains."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path / "first.rrd", free_port())
    try:
        one.wait_until_listening()
        yield one
    finally:
        one.end()


def run(run_python: RunPython, server: Server, signal_number: int, *files: Path) -> tuple[Finished, float]:
    """Run the program. Also returns the seconds from its last line until it was over."""
    arguments = map(str, (server.port, server.process.pid, signal_number, ROWS, *files))
    done = run_python(PROGRAM, *arguments).check()
    over = time.time_ns()
    logged, stored, end = map(int, done.stdout.split())
    assert (logged, stored) == (ROWS, ROWS)
    return done, (over - end) / 1e9


def command_in(text: str) -> list[str]:
    """Return the arguments of the command that the program named."""
    found = re.search(r"Send them with: rerun-mp (.+)", text)
    assert found, text
    return shlex.split(found[1])


def unsent_files() -> list[Path]:
    return sorted(Path(os.environ["XDG_DATA_HOME"], "rerun_mp", "unsent").glob("*.rrd"))


def send(run_python: RunPython, arguments: list[str]) -> Finished:
    return run_python(COMMAND, *arguments)


def test_rows_of_a_receiver_that_died_are_kept_and_the_named_command_sends_them(
    run_python: RunPython, server: Server, tmp_path: Path
) -> None:
    done, _ = run(run_python, server, signal.SIGKILL)
    assert f"has not acknowledged {ROWS // 2} of {ROWS} rows of 'app'" in done.stderr
    arguments = command_in(done.stderr)
    (kept,) = unsent_files()
    assert arguments == ["send", str(kept), server.url]
    verify(kept)
    rows = {row.row_id for row in rows_of(kept)}
    assert len(rows) == len(rows_of(kept)) == ROWS
    failed = send(run_python, arguments)
    assert (failed.returncode, "not everything was sent" in failed.stderr) == (1, True)
    anew = Server(tmp_path / "second.rrd", server.port)
    try:
        anew.wait_until_listening()
        for _ in range(2):  # chunk ids are kept, so a viewer shows no row twice
            assert f"has acknowledged {ROWS} rows" in send(run_python, arguments).check().stdout
        wait_until(lambda: anew.rows().total() == ROWS)
    finally:
        anew.end()


def test_with_a_file_besides_the_program_says_what_the_receiver_lacks(
    run_python: RunPython, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "run.rrd"
    done, _ = run(run_python, server, signal.SIGKILL, path)
    assert f"has not acknowledged {ROWS // 2} of {ROWS} rows of 'app'" in done.stderr
    assert command_in(done.stderr) == ["send", str(path), server.url]
    assert not unsent_files()
    assert len(rows_of(path)) == ROWS


def test_a_receiver_that_lives_gets_everything_and_nothing_is_said_or_kept(
    run_python: RunPython, server: Server
) -> None:
    done, _ = run(run_python, server, 0)
    assert done.stderr == ""
    assert not unsent_files()
    wait_until(lambda: server.rows().total() == ROWS)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_receiver_that_does_not_answer_costs_two_seconds_at_exit(
    run_python: RunPython, server: Server, signal_number: int
) -> None:
    done, secs = run(run_python, server, signal_number)
    limit_secs = MAX_EXIT_SECS * LOAD_FACTOR
    assert secs < limit_secs or secs < limit_secs * slowdown()
    assert "has not acknowledged" in done.stderr
    assert len(rows_of(*unsent_files())) == ROWS


def test_the_oldest_unsent_files_are_removed_and_named(run_python: RunPython, server: Server) -> None:
    directory = Path(os.environ["XDG_DATA_HOME"], "rerun_mp", "unsent")
    directory.mkdir(parents=True)
    for number in range(20):
        path = directory / f"old-{number:02}-00000000-00000000-{number}-rows.rrd"
        path.write_bytes(b"RRF2")
        os.utime(path, (number, number))
    done, _ = run(run_python, server, signal.SIGKILL)
    assert "old-00-00000000-00000000-0-rows.rrd was removed with 0 unsent rows" in done.stderr
    assert len(unsent_files()) == 20
