"""The web viewer listens on the loopback interface, ends with its program, and shows the rows of workers."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from pathlib import Path

import numpy as np
import psutil

from tests.conftest import RunPython, StartPython
from tests.harness.browsers import browser, browser_missing
from tests.harness.programs import wait_until
from tests.harness.requirements import need

PROGRAMS = Path(__file__).with_name("programs")

SHOWING = """
import os, sys
import numpy as np
import rerun_mp as rr
import rerun_mp.blueprint as rrb

rr.init("rerun_mp_web")
views = [rrb.Spatial2DView(origin=name) for name in ("magenta", "green")]
uri = rr.serve_grpc(grpc_port=0, default_blueprint=rrb.Blueprint(rrb.Horizontal(*views), collapse_panels=True))
for name, colour in (("magenta", (255, 0, 255)), ("green", (0, 255, 0))):
    if os.fork() == 0:
        rr.log(name, rr.Image(np.full((64, 64, 3), colour, np.uint8)))
        os._exit(0)
    assert os.wait()[1] == 0
print(rr.serve_web_viewer(web_port=0, open_browser=False, connect_to=uri), flush=True)
open(sys.argv[1]).read()
"""

SERVING = """
import os, signal
import rerun_mp as rr
url = rr.start_web_viewer_server()
child = os.fork()
if child != 0:
    print(url, child, flush=True)
signal.pause()
"""


def test_a_browser_shows_the_images_of_forked_workers(
    start_python: StartPython, tmp_path: Path, artifacts: Path
) -> None:
    need(browser_missing(), "RERUN_MP_REQUIRE_BROWSER")
    os.mkfifo(tmp_path / "end")
    program = start_python(SHOWING, tmp_path / "end")
    program.wait_for_output("\n")
    with browser(tmp_path) as chromium:
        chromium.show(program.stdout.strip())

        def is_shown() -> bool:
            distances = [
                np.abs(chromium.pixels().astype(int) - colour).sum(axis=2) for colour in ((255, 0, 255), (0, 255, 0))
            ]
            return all((distance < 30).sum() > 10_000 for distance in distances)

        try:
            wait_until(is_shown, timeout_secs=240.0, what="the workers' colours on the page")
        finally:
            (artifacts / "web_viewer.png").write_bytes(chromium.screenshot())
    (tmp_path / "end").write_text("")
    program.wait().check()


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a client can connect."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def test_the_server_ends_when_its_program_is_killed(start_python: StartPython) -> None:
    """A living forked child does not keep the server. It accepts no connection from another machine."""
    program = start_python(SERVING)
    program.wait_for_output("\n")
    url, child_pid = program.stdout.split()
    port = int(url.rpartition(":")[2])
    with urllib.request.urlopen(url) as page:
        assert b"Rerun" in page.read()
    assert not listens(port, "127.0.0.2"), "only on the loopback interface's own address"
    child = psutil.Process(int(child_pid))
    os.kill(program.pid, signal.SIGKILL)
    wait_until(lambda: not listens(port), what="the server's end")
    assert child.is_running()
    program.end()


def test_bad_and_used_ports_are_refused(run_python: RunPython) -> None:
    """In a program with a session, rerun's own functions do the same."""
    run_python(
        PROGRAMS / "web_viewer_ports.py",
        env={"DISPLAY": None, "WAYLAND_DISPLAY": None},
    ).check()
