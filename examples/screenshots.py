"""Make the pictures of the documentation with real programs and the real viewer: `make screenshots`.

A viewer without a window needs a Vulkan adapter. Without PyTorch the data loader's picture stays as it is.
"""

from __future__ import annotations

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
from pathlib import Path

import numpy as np
import rerun_cli
from rerun.experimental import ViewerClient
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

import rerun_mp as rr
import rerun_mp.blueprint as rrb
from rerun_mp import figures
from rerun_mp.cli import rendering as tables
from rerun_mp.monitoring.overview import look

EXAMPLES = Path(__file__).parent
IMAGES = EXAMPLES.parent / "docs" / "images"
RERUN = str(Path(rerun_cli.__file__).with_name("rerun"))
SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's picture of a terminal, without its links to fonts on other servers."""


class Viewer:
    """A viewer without a window."""

    def __enter__(self) -> ViewerClient:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.client = ViewerClient.spawn(headless=True, port=port, executable_path=RERUN)
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.quit()


def picture(client: ViewerClient, name: str) -> None:
    """Save a picture of a viewer at the end of its data, once two pictures in a row are equal."""
    client.set_time("log_time", play_state="following")
    before, shown = b"", client.take_screenshot()
    while shown != before:
        time.sleep(1.0)
        before, shown = shown, client.take_screenshot()
    (IMAGES / f"{name}.png").write_bytes(shown)


def pool(directory: Path) -> None:
    """Run the first example, and keep the picture that it takes."""
    command = [sys.executable, str(EXAMPLES / "pool.py"), "--out", str(directory / "pool.rrd"), "--show", "screenshot"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (found,) = re.findall(r"What the viewer shows: (.+)", printed)
    (IMAGES / "pool.png").write_bytes(Path(found).read_bytes())


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
                views, problems = look()
                rates.note(views)
                time.sleep(0.5)
            with open(os.devnull, "w") as nowhere:
                console = Console(record=True, width=104, file=nowhere)
                console.print(f"$ rerun-mp {name}", style="bold")
                console.print(tables.overview(views, rates, problems))
                svg = console.export_svg(title=f"rerun-mp {name}", code_format=SVG, unique_id=name)
            (IMAGES / f"{name}.svg").write_text(svg)
        for worker in workers:
            worker.join()
        rr.flush()
        rr.disconnect()  # the figures go on as long as there is a sink
        picture(client, "figures")


PARTS = {"pool": pool, "data_loader": data_loader, "figures": command_and_figures}


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
