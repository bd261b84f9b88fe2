"""`rerun-mp head` ends at once if it cannot serve."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rerun_mp.viewers import spawn as viewer
from tests.harness.programs import ROOT, wait_until
from tests.harness.viewers import free_port


@pytest.mark.parametrize("further", [0, 1], ids=["live view", "receiver"])
def test_a_port_that_another_program_has_is_named(tmp_path: Path, further: int) -> None:
    """It is often that of a viewer that runs already."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] - further
        command = [sys.executable, "-m", "rerun_mp", "head", "--dir", str(tmp_path), f"--port={port}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "the head cannot be started: " in done.stderr
    assert "Address already in use" in done.stderr
    if not further:
        assert f"127.0.0.1:{port}, for the live view; choose another --port" in done.stderr


def test_a_head_that_was_killed_starts_again(tmp_path: Path) -> None:
    """Its live view ends with it, so that the port is free."""
    command = [sys.executable, "-m", "rerun_mp", "head", "--dir", str(tmp_path), f"--port={free_port()}"]
    for _ in range(2):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as head:
            assert head.stdout is not None
            assert head.stdout.readline().startswith("export RERUN_MP_HEAD=")
            live = live_view_of(head)
            head.kill()
        wait_until(lambda live=live: not live.is_running(), what="the end of the live view")  # type: ignore[misc]


def live_view_of(head: subprocess.Popen[str]) -> psutil.Process:
    """Return the process of the live view, once it runs rerun's program."""
    (live,) = psutil.Process(head.pid).children()
    wait_until(lambda: "--serve-grpc" in live.cmdline()[:2], what="the live view")
    return live


def test_the_live_view_listens_when_the_head_says_where_it_is(tmp_path: Path) -> None:
    """A viewer that is started then would give up if it could not connect."""
    port = free_port()
    command = [sys.executable, "-m", "rerun_mp", "head", "--dir", str(tmp_path), f"--port={port}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None
        head.stdout.readline()
        for one in (port, port + 1):
            socket.create_connection(("127.0.0.1", one)).close()
        head.terminate()
    assert head.returncode == 0


def test_a_head_serves_without_a_reader_of_its_output(tmp_path: Path) -> None:
    """A script that has read the first line, with the address, may close the pipe before the second is written."""
    port = free_port()
    command = [sys.executable, "-m", "rerun_mp", "head", "--dir", str(tmp_path), f"--port={port}"]
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True) as head:
        os.close(writer)
        wait_until(lambda: viewer.listens(port, "127.0.0.1"), what="the live view")
        first = live_view_of(head)
        first.kill()
        assert head.stderr is not None
        assert "the live view has ended with -9" in head.stderr.readline()
        head.terminate()
    assert head.returncode == 0
