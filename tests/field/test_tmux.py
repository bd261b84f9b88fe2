"""A tmux server keeps the environment of the program that started it. Programs that run in it later stay apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.field.held import WAIT, held
from tests.harness.programs import wait_until
from tests.harness.recordings import count_rows, recordings_in, verify
from tests.harness.requirements import need_field

pytestmark = pytest.mark.real_collectors

STARTS_TMUX = """
import subprocess, sys
import rerun_mp as rr
rr.init("rerun_mp_tmux")
rr.save(sys.argv[1])
rr.log("first", rr.Scalars(1.0))
subprocess.run([*sys.argv[2:], "new-session", "-d", "sh"], check=True)
"""
LATER = """
import os, sys
inherited = os.environ["RERUN_MP_SESSION"]
import rerun_mp as rr
rr.init("rerun_mp_tmux")
rr.save(sys.argv[2])
rr.log(sys.argv[3], rr.Scalars(1.0))
rr.flush()
open(sys.argv[2] + ".variable", "w").write(inherited)
"""


@pytest.fixture
def tmux(place: Path) -> Iterator[list[str]]:
    """Yield the command of a tmux with a server of its own, and end that server by its id."""
    command = [need_field("tmux"), "-f", os.devnull, "-S", str(place / "tmux")]
    try:
        yield command
    finally:
        asked = subprocess.run([*command, "display", "-p", "#{pid}"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            server = int(asked.stdout)
            os.kill(server, signal.SIGKILL)
            wait_until(lambda: not os.path.exists(f"/proc/{server}"), what="the end of tmux")


def test_programs_in_an_inherited_tmux_have_sessions_of_their_own(
    tmux: list[str], run_python: RunPython, tmp_path: Path, place: Path
) -> None:
    """Both run at a time. The first one's end waits neither for the second one nor for the server."""
    first, gate = tmp_path / "first.rrd", tmp_path / "gate"
    one, two = tmp_path / "one.rrd", tmp_path / "two.rrd"
    run_python(STARTS_TMUX, first, *tmux, fresh=True).check()
    scripts = {"one": tmp_path / "one.py", "two": tmp_path / "two.py"}
    scripts["one"].write_text(LATER)
    scripts["two"].write_text(f"{LATER}\n{WAIT}")
    with held(gate):
        for name, path in (("two", two), ("one", one)):
            command = [sys.executable, str(scripts[name]), str(gate), str(path), name]
            subprocess.run([*tmux, "new-window", "-d", *command], check=True)
        variables = [path.with_name(f"{path.name}.variable") for path in (one, two)]
        wait_until(lambda: all(one.exists() for one in variables), what="both programs")
        wait_until(lambda: is_complete(one), what="the file of the program that has ended")
        assert not is_complete(two)
    wait_until(lambda: is_complete(two), what="the file of the other program")
    assert len({path.read_text() for path in variables}) == 1
    assert [count_rows(path) for path in (first, one, two)] == [{"first": 1}, {"one": 1}, {"two": 1}]
    assert len({recording for path in (first, one, two) for recording in recordings_in(path)}) == 3
    for path in (first, one, two):
        verify(path)
    # The note that the first program has left for what runs in the server goes with the next session.
    end_of(tmux)
    run_python("import rerun_mp as rr; rr.init('rerun_mp_after')", fresh=True).check()


def is_complete(path: Path) -> bool:
    """Return whether a file ends with a footer."""
    from rerun_mp.encoding.rrd_files import is_complete

    return is_complete(path)


def end_of(tmux: list[str]) -> None:
    """End the server."""
    server = int(subprocess.run([*tmux, "display", "-p", "#{pid}"], capture_output=True, text=True, check=True).stdout)
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{server}"), what="the end of tmux")
