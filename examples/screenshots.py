"""Make the pictures of the documentation with real programs and the real viewer: `make screenshots`.

A viewer without a window needs a Vulkan adapter. Without PyTorch the data loader's picture stays as it is.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import rerun_cli
from PIL import Image
from rerun.experimental import ViewerClient
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

import rerun_mp as rr
import rerun_mp.blueprint as rrb
from rerun_mp import figures
from rerun_mp.cli import rendering as tables
from rerun_mp.monitoring.overview import SessionView, look

EXAMPLES = Path(__file__).parent
IMAGES = EXAMPLES.parent / "docs" / "images"
RERUN = str(Path(rerun_cli.__file__).with_name("rerun"))
SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's picture of a terminal, without its links to fonts on other servers."""


WIDTH, HEIGHT = 1200, 675
"""Size of a viewer in points. A page shows a picture with some 900, so that texts stay legible."""
TOP_BAR = 37
"""Height of the viewer's menu, in points. It tells of this machine, and pictures do not have it."""


class Viewer:
    """A viewer without a window. It shows `recordings` at first."""

    def __init__(self, *recordings: Path) -> None:
        self.recordings = [str(path) for path in recordings]

    def __enter__(self) -> ViewerClient:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        size = f"{WIDTH}x{HEIGHT}"
        command = [RERUN, "--headless", f"--port={port}", "--bind=127.0.0.1", f"--window-size={size}"]
        self.process = subprocess.Popen(
            [*command, "--hide-welcome-screen", *self.recordings], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            except OSError:
                time.sleep(0.1)
        return ViewerClient.connect(f"rerun+http://127.0.0.1:{port}/proxy")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def picture(client: ViewerClient, name: str, timeline: str | None = "log_time") -> None:
    """Save a picture of a viewer at the end of its data, once two pictures in a row are equal."""
    for attempt in range(60 if timeline is not None else 0):  # a recording without rows has no timeline
        try:
            client.set_time(timeline, play_state="following")
            break
        except ConnectionError:
            if attempt == 59:
                raise
            time.sleep(0.5)  # the viewer has not shown the recording yet
    before, shown = b"", client.take_screenshot()
    while shown != before:
        time.sleep(1.0)
        before, shown = shown, client.take_screenshot()
    save(shown, name)


def save(shown: bytes, name: str) -> None:
    """Save a picture without the viewer's menu."""
    whole = Image.open(io.BytesIO(shown)).convert("RGB")
    bar = round(TOP_BAR * whole.width / WIDTH)
    whole.crop((0, bar, whole.width, whole.height)).save(IMAGES / f"{name}.png", optimize=True)


def scene(_: Path) -> None:
    """Log the same scene from a forked pool with rerun and with rerun_mp."""
    for sdk in ("rerun", "rerun_mp"):
        with Viewer() as client:
            command = [sys.executable, str(EXAMPLES / "scene.py"), "--sdk", sdk, "--url", client.url]
            subprocess.run(command, check=True)
            time.sleep(2.0)
            picture(client, f"scene_{sdk}", "step" if sdk == "rerun_mp" else None)


def pool(directory: Path) -> None:
    """Run the first example, and show its file, which has the layout."""
    out = directory / "pool.rrd"
    subprocess.run([sys.executable, str(EXAMPLES / "pool.py"), "--out", str(out)], check=True, capture_output=True)
    with Viewer(out) as client:
        picture(client, "pool")


def data_loader(directory: Path) -> None:
    """Run the second example, and show its file."""
    out = directory / "loader.rrd"
    places = os.pathsep.join((str(EXAMPLES.parent), sysconfig.get_path("purelib")))
    for python in (sys.executable, "/usr/bin/python3"):
        command = [python, "-W", "ignore", str(EXAMPLES / "data_loader.py"), "--out", str(out)]
        if (
            subprocess.run(
                command, env={**os.environ, "PYTHONPATH": places}, capture_output=True, check=False
            ).returncode
            == 0
        ):
            break
    else:
        print("no PyTorch here: the data loader's picture stays as it is")
        return
    with Viewer() as client:
        rr.init("rerun_mp_data_loader_view", recording_id="view")
        rr.connect_grpc(client.url)
        rr.log_file_from_path(out)
        workers = range(3)
        rr.send_blueprint(
            rrb.Blueprint(
                rrb.Horizontal(
                    rrb.Vertical(*(rrb.Spatial2DView(origin=f"patch/loader_{n}", name=f"Worker {n}") for n in workers)),
                    rrb.Vertical(
                        rrb.TimeSeriesView(origin="milliseconds", name="Milliseconds to make a sample"),
                        rrb.TimeSeriesView(origin="train", name="Mean of a batch"),
                        rrb.TextLogView(origin="/__rerun_mp", contents=["/__rerun_mp/crashes"], name="Killed"),
                    ),
                    column_shares=[1, 3],
                ),
                collapse_panels=True,
            )
        )
        rr.flush()
        picture(client, "data_loader")
        rr.disconnect()


def work(number: int, seconds: float) -> None:
    """Log numbers and pictures. Worker 1 kills itself halfway."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rr.log(f"worker/{number}/loss", rr.Scalars(np.random.default_rng().random()))
        rr.log(f"worker/{number}/image", rr.Image(np.zeros((240, 320), np.uint8)))
        time.sleep(0.002 * (1 + number))
        if number == 1 and end - time.monotonic() < seconds / 2:
            os.kill(os.getpid(), signal.SIGKILL)


def shown_view(view: SessionView) -> SessionView:
    """Return a view of a session with the names of a user's machine in place of this one's."""
    assert view.program is not None
    program = replace(view.program, command=("python", "train.py"), directory="/home/robot/run", user="robot")
    sinks = (
        sink._replace(target="/home/robot/run/run.rrd" if sink.kind == "file" else "rerun+http://127.0.0.1:9876/proxy")
        for sink in view.sinks
    )
    return replace(view, program=program, sinks=tuple(sinks))


def is_own(view: SessionView) -> bool:
    """Say whether a session is that of this program."""
    return view.program is not None and any(Path(one).name == Path(__file__).name for one in view.program.command)


def command_and_figures(directory: Path) -> None:
    """Take the pictures of `rerun-mp status` and `top`, and of a session's figures in a viewer."""
    with Viewer() as client:
        rr.init("my_app", settings=rr.Settings(figures=0.2))
        rr.set_sinks(rr.FileSink(directory / "run.rrd"), rr.GrpcSink(client.url))
        rr.send_blueprint(figures.blueprint())
        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=work, args=(number, 10.0), name=f"worker {number}") for number in range(4)]
        for worker in workers:
            worker.start()
        rates = tables.Rates()
        for name in ("status", "top"):
            time.sleep(3.0)
            for _ in range(2):
                views = [
                    shown_view(view) for view in look()[0] if view.program and "screenshots.py" in str(view.program)
                ]
                rates.note(views)
                time.sleep(0.5)
            with open(os.devnull, "w") as nowhere:
                console = Console(record=True, width=104, file=nowhere)
                console.print(f"$ rerun-mp {name}", style="bold")
                console.print(tables.overview(views, rates, []))
                svg = console.export_svg(title=f"rerun-mp {name}", code_format=SVG, unique_id=name)
            (IMAGES / f"{name}.svg").write_text(svg)
        for worker in workers:
            worker.join()
        rr.flush()
        rr.disconnect()  # the figures go on as long as there is a sink
        picture(client, "figures")


PARTS = {"scene": scene, "pool": pool, "data_loader": data_loader, "figures": command_and_figures}


def main() -> None:
    """Make the pictures of one part, or of all parts, each in a process and session of its own."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as directory:
            PARTS[sys.argv[1]](Path(directory))
        return
    for part in PARTS:
        subprocess.run([sys.executable, __file__, part], check=True)
    for path in sorted(IMAGES.iterdir()):
        print(f"{path.relative_to(EXAMPLES.parent)}: {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
