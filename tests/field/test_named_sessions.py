"""Processes that no common process has started share a session by its name, in whatever order they come and go."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from itertools import permutations
from pathlib import Path

import psutil
import pytest

import rerun_mp as rr
from rerun_mp.monitoring.overview import look
from rerun_mp.session import named
from tests.conftest import RunPython, StartPython
from tests.field.programs.named_member import ROWS
from tests.harness.programs import ROOT, Program, wait_until
from tests.harness.recordings import count_rows, recordings_in, verify
from tests.harness.requirements import need_field
from tests.harness.servers import Server
from tests.harness.viewers import free_port

MEMBER = Path(__file__).with_name("programs") / "named_member.py"
SERVE = """
    import sys
    from rerun_mp.cli.app import app
    sys.argv[0] = "rerun-mp"
    app(["serve", "robot-7", *sys.argv[1:]])
"""
ORDERS = list(permutations(("camera", "logger", "planner")))


def start(start_python: StartPython, name: str, life: int, out: Path) -> Program:
    """Start a member, and wait until it has logged."""
    program = start_python(MEMBER, name, str(life), out, start_new_session=True)
    program.wait_for_output("logged")
    return program


def end(program: Program, number: signal.Signals = signal.SIGTERM) -> None:
    """End a program, and wait for it."""
    program.process.send_signal(number)
    assert program.wait().returncode in (0, -number)


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_three_programs_in_any_order_each_restarted_twice_make_one_recording(
    order: tuple[str, ...], start_python: StartPython, tmp_path: Path
) -> None:
    """One of the restarts follows SIGKILL. `serve` comes first in half of the orders, and last in the others."""
    out = tmp_path / "robot.rrd"
    server = Server(tmp_path / "received.rrd", free_port())
    try:
        server.wait_until_listening()
        running: dict[str, Program] = {}

        def serve() -> None:
            running["serve"] = start_python(SERVE, "--save", out, "--connect", server.url, start_new_session=True)
            wait_until(lambda: "is open" in running["serve"].stderr, what="the session")

        if ORDERS.index(order) % 2:
            serve()
        for name in order:
            running[name] = start(start_python, name, 0, out)
        if "serve" not in running:
            serve()
        for life, number in ((1, signal.SIGTERM), (2, signal.SIGKILL)):
            for name in order:
                end(running[name], number)
                running[name] = start(start_python, name, life, out)
        end(running["serve"])
        for name in order:
            end(running[name])
        expected = {f"{name}/{life}": ROWS for name in order for life in range(3)}
        verify(out)
        assert len(recordings_in(out)) == 1
        assert count_rows(out) == expected

        def received() -> dict[str, int]:
            return {path: rows for path, rows in server.rows().items() if not path.startswith("__")}

        # The server acknowledges rows before it writes them.
        wait_until(lambda: received() == expected, what="the rows in the server's file")
    finally:
        server.end()


def test_the_environment_names_a_session_and_children_are_members(run_python: RunPython, tmp_path: Path) -> None:
    run_python(
        """
        import multiprocessing, sys
        import rerun_mp as rr
        def log(name):
            rr.log(name, rr.Scalars(1.0))
        if __name__ == "__main__":
            rr.init("app")
            rr.save(sys.argv[1])
            for method in ("fork", "spawn"):
                child = multiprocessing.get_context(method).Process(target=log, args=(method,))
                child.start()
                child.join()
        """,
        tmp_path / "out.rrd",
        env={"RERUN_MP_SESSION": "robot.8_x"},
    ).check()
    assert count_rows(tmp_path / "out.rrd") == {"fork": 1, "spawn": 1}


def test_a_later_session_with_the_same_name_has_another_recording(run_python: RunPython, tmp_path: Path) -> None:
    ids = set()
    for number in range(2):
        run_python(
            """
            import sys
            import rerun_mp as rr
            rr.init("app", session="robot-9")
            rr.save(sys.argv[1])
            rr.log("x", rr.Scalars(1.0))
            """,
            tmp_path / f"{number}.rrd",
        ).check()
        ids |= set(recordings_in(tmp_path / f"{number}.rrd"))
    assert len(ids) == 2


@pytest.mark.parametrize("wrong", ["", "-x", "a b", "a/b", "ab" * 32, "x" * 65, "ä"])
def test_a_text_that_can_be_no_session_name_is_refused(wrong: str) -> None:
    with pytest.raises(rr.InvalidArgumentError, match="session"):
        named.check_name(wrong)


def test_a_secret_that_others_can_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first = named.key_of("robot-7", may_create=True)
    assert first is not None
    assert first == named.key_of("robot-7", may_create=False) != named.key_of("robot-8", may_create=False)
    os.chmod(named._place(), 0o644)
    with pytest.raises(rr.PrivacyError, match="only you can read"):
        named.key_of("robot-7", may_create=False)
    os.unlink(named._place())
    assert named.key_of("robot-7", may_create=False) is None
    os.symlink("/etc/passwd", named._place())
    with pytest.raises(rr.ResourceError):
        named.key_of("robot-7", may_create=True)
    os.unlink(named._place())


def test_a_process_that_is_in_a_session_does_not_change_to_another(run_python: RunPython, tmp_path: Path) -> None:
    done = run_python(
        """
        import rerun_mp as rr
        rr.init("app")
        try:
            rr.init("app", session="robot-7")
        except rr.SessionError as error:
            print(error)
        """,
    ).check()
    assert "in another session already" in done.stdout


def test_the_containers_of_the_compose_file_share_a_runtime_directory_that_exists() -> None:
    """Otherwise each container has the session's configuration in its own /tmp, and a collector of another has none."""
    text = (ROOT / "examples/named_session/compose.yaml").read_text()
    (mounted,) = re.findall(r'volumes: \["\./\w+:(/\w+)"\]', text)
    assert re.findall(r"XDG_RUNTIME_DIR: (\S+)", text) == [mounted]


def test_supervisord_runs_the_example_and_restarts_a_part(place: Path, tmp_path: Path) -> None:
    """The session goes on while the camera is started again."""
    supervisord = need_field("supervisord")
    for name in ("part.py", "supervisord.conf"):
        shutil.copy(ROOT / "examples" / "named_session" / name, tmp_path)
    directory = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = [supervisord, "-n", "-c", str(tmp_path / "supervisord.conf")]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    try:
        for number in (1, 2):
            wait_until(partial(has_writers, process.pid, 1 + number), what="a planner, and cameras that log")
            if number == 1:
                children = psutil.Process(process.pid).children()
                next(child for child in children if "camera" in child.cmdline()).kill()
    finally:
        process.terminate()
        process.wait(60)
    (part,) = rr.parts(tmp_path / "robot.rrd")
    verify(part.path)
    assert len(recordings_in(part.path)) == 1
    rows = count_rows(part.path)
    assert set(rows) == {"robot/camera", "robot/planner"}
    assert min(rows.values()) >= 2


def has_writers(supervisor: int, number: int) -> bool:
    """Say whether so many processes have logged in the session of a supervisor's children."""
    children = {child.pid for child in psutil.Process(supervisor).children()}
    views = [view for view in look()[0] if children.intersection(view.participants)]
    return len({one.pid for view in views for one in view.processes if one.logged}) == number
