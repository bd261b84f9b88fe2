"""Processes that import rerun_mp only after the session that started them has ended bring their rows into its file."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import StartPython
from tests.field.held import WAIT, held
from tests.harness.programs import Program, wait_until
from tests.harness.recordings import count_rows, recordings_in, verify
from tests.harness.servers import Server, saved_rows
from tests.harness.sessions import SHARED_MEMORY, SessionWatch
from tests.harness.viewers import free_port

pytestmark = pytest.mark.real_collectors

ROWS = 100
PARENT = """
import json, subprocess, sys
import rerun_mp as rr
rr.init("rerun_mp_heirs")
rr.save(sys.argv[1])
rr.log("early", rr.Scalars(1.0))
for command in json.loads(sys.argv[2]):
    subprocess.Popen(command)
"""
CHILD = f"""{WAIT}
import rerun_mp as rr
for step in range({ROWS}):
    rr.log(f"late/{{sys.argv[2]}}", rr.Scalars(float(step)))
"""


def command(gate: Path, name: str, code: str = CHILD, *, chain: int = 0) -> list[str]:
    """Return the command of a child that waits at `gate`, behind so many programs that each call exec."""
    program = [sys.executable, "-c", code, str(gate), name]
    for _ in range(chain):
        program = ["sh", "-c", 'exec "$@"', "sh", *program]
    return program


def end_before(program: Program, watch: SessionWatch) -> None:
    """Wait until a program and its session have ended."""
    program.wait().check()
    wait_until(lambda: not is_there(watch), what="the end of the session")


def is_there(watch: SessionWatch) -> bool:
    """Return whether a session lives or is ending."""
    return any(SHARED_MEMORY.glob(f"{watch.segment.name}*"))


def start(start_python: StartPython, path: Path, commands: list[list[str]], watch: SessionWatch) -> Program:
    """Start a program that logs a row to `path`, starts the commands, and ends."""
    return start_python(PARENT, path, json.dumps(commands), env=watch.environment, fresh=True)


@pytest.mark.parametrize(("children", "chain"), [(1, 0), (1, 3), (11, 1)], ids=["subprocess", "chain", "eleven"])
def test_late_children_add_their_rows_to_the_file(
    children: int, chain: int, start_python: StartPython, tmp_path: Path, place: Path
) -> None:
    path, gate, watch = tmp_path / "out.rrd", tmp_path / "gate", SessionWatch()
    with held(gate):
        commands = [command(gate, str(number), chain=chain) for number in range(children)]
        parent = start(start_python, path, commands, watch)
        end_before(parent, watch)
        assert count_rows(path) == {"early": 1}
        (before,) = recordings_in(path)
    expected = Counter({"early": 1} | {f"late/{number}": ROWS for number in range(children)})
    # A child that comes later writes to the file while this process reads it.
    wait_until(lambda: not is_there(watch) and saved_rows(path) == expected, what="the rows of all children")
    assert count_rows(path) == expected
    assert recordings_in(path) == [before]
    verify(path)
    assert list(tmp_path.glob("*.rrd")) == [path]


def test_a_second_generation_continues_what_the_first_has_continued(
    start_python: StartPython, tmp_path: Path, place: Path
) -> None:
    """A late child starts another one, which comes when the late child's session has ended, too."""
    path, gates, watch = tmp_path / "out.rrd", [tmp_path / "gate-0", tmp_path / "gate-1"], SessionWatch()
    with held(gates[1]):
        with held(gates[0]):
            second = command(gates[1], "second")
            first = command(gates[0], "first", f"{CHILD}\nimport subprocess\nsubprocess.Popen({second!r})\n")
            end_before(start(start_python, path, [first], watch), watch)
        wait_until(lambda: not is_there(watch) and len(saved_rows(path)) == 2, what="the rows of the first child")
    wait_until(lambda: not is_there(watch) and len(saved_rows(path)) == 3, what="the rows of the second child")
    assert count_rows(path) == {"early": 1, "late/first": ROWS, "late/second": ROWS}
    verify(path)


def test_late_children_leave_a_file_alone_that_another_program_has_put_at_the_path(
    start_python: StartPython, tmp_path: Path, place: Path
) -> None:
    path, gate, watch = tmp_path / "out.rrd", tmp_path / "gate", SessionWatch()
    with held(gate):
        parent = start(start_python, path, [command(gate, "0")], watch)
        end_before(parent, watch)
        path.rename(tmp_path / "moved.rrd")
        path.write_bytes(b"of another program")
    beside = tmp_path / "out-2.rrd"
    wait_until(lambda: beside.exists() and not is_there(watch), what="the rows of the child")
    assert path.read_bytes() == b"of another program"
    assert count_rows(tmp_path / "moved.rrd") == {"early": 1}
    assert count_rows(beside) == {"late/0": ROWS}
    assert recordings_in(beside) == recordings_in(tmp_path / "moved.rrd")
    assert f"later rows of its recording go to {beside}" in parent.stderr


def test_late_children_connect_to_the_viewer_again(start_python: StartPython, tmp_path: Path, place: Path) -> None:
    gate, watch = tmp_path / "gate", SessionWatch()
    server = Server(tmp_path / "served.rrd", free_port())
    server.wait_until_listening()
    program = PARENT.replace("rr.save(sys.argv[1])", f"rr.connect_grpc({server.url!r})")
    try:
        with held(gate):
            commands = json.dumps([command(gate, "0")])
            end_before(start_python(program, "", commands, env=watch.environment, fresh=True), watch)
        expected = {"early": 1, "late/0": ROWS}
        wait_until(lambda: not is_there(watch) and server.rows() == expected, what="the rows of the child")
    finally:
        server.end()
