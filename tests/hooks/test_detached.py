"""A detached process is not our child, has an operating-system session of its own, and gets the given descriptors."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from rerun_mp.hooks import detached
from rerun_mp.hooks.detached import FileAction, start_detached
from tests.harness.programs import wait_until
from tests.harness.requirements import need

PROGRAM = """
import os, sys
print(os.getppid(), os.getsid(0), os.environ["GIVEN"], *sys.argv[1:], flush=True)
"""


@pytest.mark.parametrize("shell", ["/bin/sh", "/nowhere/sh"])
def test_a_detached_process_is_no_child_and_has_a_session_of_its_own(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a machine without a shell."""
    monkeypatch.setattr(detached, "SHELL", shell)
    output = tmp_path / "output"
    actions: list[FileAction] = [(os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT, 0o600)]
    start_detached([sys.executable, "-c", PROGRAM, "an argument", "$HOME"], {"GIVEN": "x"}, actions)
    wait_until(lambda: output.exists() and output.read_text().endswith("\n"), what="the program")
    parent, session, *rest = output.read_text().split(" ", 2)
    assert int(parent) != os.getpid()
    assert int(session) != os.getsid(0)
    assert rest == ["x an argument $HOME\n"]


@pytest.mark.parametrize("shell", ["/bin/sh", "/nowhere/sh"])
def test_a_detached_process_inherits_no_ignored_signal_and_no_real_time_scheduling(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard waits for its worker, SIGTERM ends a viewer, and neither may keep a control loop from its processor."""
    monkeypatch.setattr(detached, "SHELL", shell)
    program = """
import os, signal
ignored = [signal.getsignal(number) is signal.SIG_IGN for number in (signal.SIGCHLD, signal.SIGTERM)]
print(*ignored, os.sched_getscheduler(0) == os.SCHED_OTHER, flush=True)
"""
    output = tmp_path / "output"
    actions: list[FileAction] = [(os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT, 0o600)]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGCHLD, signal.SIGTERM)}
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # this thread alone
        start_detached([sys.executable, "-S", "-c", program], {}, actions)
    except PermissionError:
        need("the right to choose real-time scheduling", "TESTS_NEED_NAMESPACES")
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        for number, handler in before.items():
            signal.signal(number, handler)
    wait_until(lambda: output.exists() and output.read_text().endswith("\n"), what="the program")
    assert output.read_text() == "False False True\n"


def test_a_handler_that_collects_every_child_does_no_harm() -> None:
    def collect(number: int, frame: object) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    before = signal.signal(signal.SIGCHLD, collect)
    try:
        start_detached([sys.executable, "-c", ""], {}, [])
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_without_a_process_the_error_is_the_systems(tmp_path: Path) -> None:
    actions: list[FileAction] = [(os.POSIX_SPAWN_OPEN, 1, str(tmp_path / "missing" / "output"), os.O_WRONLY, 0)]
    with pytest.raises(OSError, match="No such file"):
        start_detached(["true"], {}, actions)


def test_a_pipe_ends_although_a_detached_process_of_its_writer_lives() -> None:
    """`Process.join` waits for the end of a pipe, which a spawned child has and hands on to its own children."""
    reader, writer = os.pipe()
    stop_reader, stop = os.pipe()
    os.set_inheritable(writer, True)
    life, its_life = os.pipe()
    actions: list[FileAction] = [(os.POSIX_SPAWN_DUP2, stop_reader, 0), (os.POSIX_SPAWN_DUP2, its_life, 1)]
    start_detached([sys.executable, "-c", "print(flush=True); input()"], {}, actions)
    os.close(its_life)
    assert os.read(life, 1) == b"\n", "the process runs"
    os.close(writer)
    os.set_blocking(reader, False)
    assert os.read(reader, 1) == b""
    os.write(stop, b"\n")
    assert os.read(life, 1) == b"", "the process has ended"
    for descriptor in (reader, stop_reader, stop, life):
        os.close(descriptor)
