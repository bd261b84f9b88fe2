"""Starting a viewer: which program is started, when one that listens is used, and the errors if neither works."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from rerun_mp.errors import InvalidArgumentError, ViewerError
from rerun_mp.viewers import spawn as viewer
from tests.conftest import RunPython, StartPython
from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY, chunks_of, rows_of
from tests.harness.viewers import free_port


@pytest.fixture
def port() -> Iterator[int]:
    """Choose a free port; kill what listens on it after the test."""
    number = free_port()
    try:
        yield number
    finally:
        for process in listeners(number):
            process.kill()
            process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """Write a program that does on its port what a viewer does, without Vulkan, and notes how it was started."""
    return script(
        tmp_path / "server",
        f'echo "$@" > {tmp_path}/arguments\nenv > {tmp_path}/environment\n'
        f'exec {RERUN_BINARY} --serve-grpc --save {tmp_path}/served.rrd "$@"',
    )


def script(path: Path, text: str) -> Path:
    """Write a program in the shell's language."""
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o700)
    return path


def listeners(port: int) -> list[psutil.Process]:
    """Return the processes that listen on `port`, of the loopback interface only."""
    sockets = [entry for entry in psutil.net_connections("tcp") if entry.status == psutil.CONN_LISTEN]
    found = [(entry.laddr.ip, entry.pid) for entry in sockets if entry.laddr and entry.laddr.port == port]
    assert all(address == "127.0.0.1" for address, _ in found), found
    processes = []
    # A process that is just ending has no pid here, and psutil would take None for this process.
    for pid in (pid for _, pid in found if pid is not None):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since
            processes.append(psutil.Process(pid))
    return processes


MANY_DESCRIPTORS = """\
    import os, resource, sys
    import rerun_mp as rr
    from rerun_mp.integrations.output import capture_output
    from rerun_mp.viewers import spawn
    rr.init("rerun_mp_descriptors")
    rr.save(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
    while os.dup(1) < 1100: pass
    try:
        spawn.start("/bin/true", [], port=int(sys.argv[2]), detached=False)
    except rr.ViewerError as error:
        print(error)
    print(rr.start_web_viewer_server())
    with capture_output():
        print("captured")
"""


def test_a_program_with_more_than_1024_descriptors_starts_what_others_can(
    port: int, run_python: RunPython, tmp_path: Path
) -> None:
    out = tmp_path / "out.rrd"
    done = run_python(MANY_DESCRIPTORS, out, str(port), fresh=True).check()
    ended, address, _ = done.stdout.splitlines()
    assert ended.startswith(f"the viewer ended before it listened on port {port}")
    assert address.startswith("http://127.0.0.1:")
    assert [row.components["TextLog:text"].as_py() for row in rows_of(out)] == [["captured"]]


def test_a_server_that_does_not_react_to_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    for command, code, secs in (("trap '' TERM; echo; read _", -9, 0.1), ("echo; read _", -15, 60.0)):
        monkeypatch.setattr(viewer, "END_SECS", secs)
        with subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            viewer.end(server)
            assert server.returncode == code


@pytest.mark.parametrize("port", [0, -1, 65536, 9876.0, "9876", None, True])
def test_a_wrong_port_is_refused(port: int) -> None:
    with pytest.raises(InvalidArgumentError, match="9876"):
        viewer.is_there(port)


def test_no_viewer_listens_on_a_free_port() -> None:
    assert not viewer.is_there(free_port())


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_another_program_on_the_port_is_named(says: bytes, start_python: StartPython) -> None:
    """It may stay silent, close the connection or answer in another protocol."""
    program = start_python(
        """
        import socket, sys
        with socket.create_server(("127.0.0.1", 0)) as listening:
            print(listening.getsockname()[1], flush=True)
            connection, _ = listening.accept()
            connection.sendall(bytes.fromhex(sys.argv[1]))
            connection.recv(1000)
            if sys.argv[1]:
                connection.close()
            listening.accept()
        """,
        says.hex(),
    )
    program.wait_for_output("\n")
    with pytest.raises(ViewerError, match=r"in use.*another port"):
        viewer.is_there(int(program.stdout))


def test_a_port_in_use_leaves_the_sinks_as_they_are(run_python: RunPython, tmp_path: Path) -> None:
    """Nothing is lost but the viewer."""
    path = tmp_path / "run.rrd"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        run_python(
            """
            import sys
            import rerun_mp as rr
            rr.init("app")
            rr.save(sys.argv[1])
            try:
                rr.spawn(headless=True, port=int(sys.argv[2]))
            except RuntimeError as error:
                assert isinstance(error, rr.ViewerError)
                assert isinstance(error, OSError)
                assert f"port {sys.argv[2]} is in use" in str(error)
            else:
                raise AssertionError("no error")
            rr.log("x", rr.Scalars(1.0))
            """,
            path,
            str(listening.getsockname()[1]),
        ).check()
    assert [row.entity_path for row in rows_of(path)] == ["x"]


def test_the_program_is_that_of_rerun_sdk_and_not_its_wrapper() -> None:
    assert Path(viewer.program()) == RERUN_BINARY


def test_the_environment_may_name_another_program(monkeypatch: pytest.MonkeyPatch, server: Path) -> None:
    monkeypatch.setenv("RERUN_CLI_PATH", str(server))
    assert viewer.program() == str(server)


def test_a_program_is_searched_on_the_path(monkeypatch: pytest.MonkeyPatch, server: Path) -> None:
    monkeypatch.setenv("PATH", str(server.parent))
    assert viewer.program("server") == str(server)
    with pytest.raises(ViewerError, match=r"'no-such-viewer' on the PATH.*executable_path"):
        viewer.program("no-such-viewer")


def test_a_given_path_is_used_unchanged(server: Path, tmp_path: Path) -> None:
    assert viewer.program("no-such-viewer", str(server)) == str(server)
    server.chmod(0o600)
    for wrong in (tmp_path / "nowhere", tmp_path, server):
        with pytest.raises(ViewerError, match=wrong.name):
            viewer.program(executable_path=str(wrong))


@pytest.mark.parametrize("detached", [True, False])
def test_a_viewer_that_ends_before_it_listens_is_noticed_at_once(tmp_path: Path, port: int, detached: bool) -> None:
    program = script(tmp_path / "ends", "exit 3")
    with pytest.raises(ViewerError, match="ended before it listened"):
        viewer.start(str(program), [], port=port, detached=detached)
    if not detached:
        os.wait()


def test_the_wait_for_a_slow_viewer_is_bounded(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "START_SECS", 0.2)
    program = script(tmp_path / "waits", f"echo $$ > {tmp_path}/pid\nexec sleep 100")
    assert not viewer.start(str(program), [], port=port, detached=True)
    wait_until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
    psutil.Process(int((tmp_path / "pid").read_text())).kill()


SLOW_TO_ANSWER = """\
import socket, sys, time
port = int(sys.argv[1].partition("=")[2])
with socket.create_server(("127.0.0.1", port)) as listening:
    while connection := listening.accept()[0]:
        if connection.recv(1000):
            time.sleep(0.5)
            connection.sendall(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            break
"""


def test_a_new_viewer_may_take_longer_to_answer_than_one_that_runs(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine it listens before it can answer. No other program has its port."""
    monkeypatch.setattr(viewer, "ANSWER_SECS", 0.1)
    (tmp_path / "slow.py").write_text(SLOW_TO_ANSWER)
    program = script(tmp_path / "slow", f'exec {sys.executable} {tmp_path}/slow.py "$@"')
    assert viewer.start(str(program), [], port=port, detached=True)


def test_a_file_that_is_no_program_is_named(tmp_path: Path, port: int) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o700)
    with pytest.raises(ViewerError, match="text"):
        viewer.start(str(tmp_path / "text"), [], port=port, detached=False)


SPAWN = """
import os, sys
import rerun_mp as rr
rr.init("app")
rr.log("early", rr.Scalars(1.0))
rr.spawn(port=int(sys.argv[1]), executable_path=sys.argv[2], detach_process=sys.argv[3] == "detached", headless=True,
         memory_limit="2GB", server_memory_limit="300MB", hide_welcome_screen=True)
rr.log("late", rr.Scalars(2.0))
if sys.argv[3] == "detached":
    try:
        os.wait()
    except ChildProcessError:
        print("no children")
"""


@pytest.fixture
def spawn(run_python: RunPython, server: Path, port: int) -> Callable[[str], psutil.Process]:
    """Run a program that spawns the server, and return the server's process."""

    def run(how: str) -> psutil.Process:
        done = run_python(SPAWN, str(port), server, how).check()
        assert ("no children" in done.stdout) == (how == "detached")
        (process,) = listeners(port)
        return process

    return run


@pytest.mark.parametrize("how", ["detached", "attached"])
def test_the_viewer_gets_the_calls_options_and_nothing_of_the_session(
    how: str, spawn: Callable[[str], psutil.Process], port: int, tmp_path: Path
) -> None:
    process = spawn(how)
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments == [
        f"--port={port}", "--bind=127.0.0.1", "--expect-data-soon", "--memory-limit=2GB", "--server-memory-limit=300MB",
        "--hide-welcome-screen", "--headless",
    ]  # fmt: skip
    environment = (tmp_path / "environment").read_text()
    assert "RERUN_APP_ONLY=true" in environment
    assert "RERUN_MP" not in environment
    assert os.getsid(process.pid) != os.getsid(0) if how == "detached" else os.getsid(process.pid) == os.getsid(0)


def test_rows_from_before_and_after_the_spawn_reach_the_viewer(
    spawn: Callable[[str], psutil.Process], tmp_path: Path
) -> None:
    spawn("detached")

    def entities() -> set[str]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="RRD file has no footer")
            try:
                return {chunk.entity_path for chunk in chunks_of(tmp_path / "served.rrd")}
            except (RuntimeError, ValueError, OSError):
                return set()  # not there yet, or cut inside a message

    wait_until(lambda: entities() == {"early", "late"}, what="the rows in the server")


def test_a_viewer_that_listens_already_is_used(
    spawn: Callable[[str], psutil.Process], port: int, tmp_path: Path, run_python: RunPython
) -> None:
    """A second program starts none, even without a display and with a path that leads nowhere."""
    process = spawn("detached")
    nowhere = 'rr.spawn(port=int(sys.argv[1]), executable_path="/nowhere")'
    program = f"import sys\nimport rerun_mp as rr\nrr.init('app')\n{nowhere}\n"
    done = run_python(program, str(port), env={"DISPLAY": None, "WAYLAND_DISPLAY": None}).check()
    assert done.stderr == ""
    assert listeners(port) == [process]


def test_without_a_program_the_sinks_stay(run_python: RunPython, port: int, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(
        """
        import sys
        import rerun_mp as rr
        rr.init("app")
        rr.save(sys.argv[1])
        for wrong in ({"executable_path": "/nowhere"}, {"executable_name": "no-such-viewer"}):
            try:
                rr.spawn(headless=True, port=int(sys.argv[2]), **wrong)
            except rr.ViewerError as error:
                assert "/nowhere" in str(error) or "no-such-viewer" in str(error)
            else:
                raise AssertionError("no error")
        rr.log("x", rr.Scalars(1.0))
        """,
        path,
        str(port),
    ).check()
    assert [row.entity_path for row in rows_of(path)] == ["x"]
