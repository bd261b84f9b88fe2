"""A pool of processes works through real images and logs all the way; one worker is killed in the middle.

The images come with scikit-image. Some tasks search an image for edges, some count its brightness, and some train a
small model to tell faces from other things. Every worker logs its work with plain Rerun calls. When the first worker
is halfway through its first task, the parent kills it with SIGKILL. Another worker takes the task; the rows stay.

At the end the parent reads the recording back, and prints the rows that each worker logged beside those that arrived::

    python examples/pool.py --workers 4 --start-method fork --out pool.rrd --show auto

A `multiprocessing.Pool` waits for ever for the task of a killed worker. So this example has a pool of its own, in which
each worker has its own pipe, and the end of a worker is an event like any other.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import rerun_cli
import skimage.data
from rerun.chunk import RrdReader
from rerun.experimental import ViewerClient
from skimage.color import rgb2gray
from skimage.feature import canny
from skimage.filters import sobel

import rerun_mp as rr
import rerun_mp.blueprint as rrb

IMAGES = ("astronaut", "camera", "coins", "coffee", "chelsea", "rocket", "moon", "page")
CANNY_SIGMAS = (1.0, 2.0, 3.0)
FOLDS = 5
TRAINING_STEPS = 500
LEARNING_RATE = 0.5
VIEWER_START_SECS = 30.0
PICTURE_SECS = 45.0
PARENT = 0  # the parent's place in the counts; workers count from 1


class Task(NamedTuple):
    """One piece of work."""

    kind: str
    subject: str


@dataclass(frozen=True)
class Counts:
    """Calls of `log` per process, in shared memory, so that the parent knows the exact counts of a killed worker.

    A process adds to `begun` before the call and to `returned` after it. A kill in between may keep the row or lose it.
    """

    begun: ctypes.Array[ctypes.c_uint64]
    returned: ctypes.Array[ctypes.c_uint64]


@dataclass
class Log:
    """`rr.log` for one process: counted, and with the process's name at the end of every entity path."""

    index: int
    counts: Counts

    def __call__(self, path: str, archetype: rr.AsComponents) -> None:
        """Log one row."""
        self.counts.begun[self.index] += 1
        rr.log(f"{path}/{name_of(self.index)}", archetype)
        self.counts.returned[self.index] += 1


def name_of(index: int) -> str:
    """Return the name of a process."""
    return "parent" if index == PARENT else f"worker_{index}"


# --- the work -------------------------------------------------------------------------------------------------------


def tasks() -> Iterator[Task]:
    """Yield all the work, the long tasks first."""
    for fold in range(FOLDS):
        yield Task("training", str(fold))
    for image in IMAGES:
        yield Task("edges", image)
        yield Task("histogram", image)


def edges(log: Log, image: str) -> Iterator[str]:
    """Search an image for edges, at three scales."""
    pixels = getattr(skimage.data, image)()
    log(f"edges/{image}/original", rr.Image(pixels))
    grey = rgb2gray(pixels) if pixels.ndim == 3 else pixels / 255.0
    strength = sobel(grey)
    log(f"edges/{image}/sobel", rr.Image((255 * strength / strength.max()).astype(np.uint8)))
    yield "halfway"
    for step, sigma in enumerate(CANNY_SIGMAS):
        rr.set_time("scale", sequence=step)
        found = canny(grey, sigma=sigma)
        log(f"edges/{image}/canny", rr.Image(found.astype(np.uint8) * 255))
        log("events", rr.TextLog(f"{image}: {found.mean():.1%} of the pixels are edges at sigma {sigma}"))


def histogram(log: Log, image: str) -> Iterator[str]:
    """Count how often each brightness occurs in each channel of an image."""
    pixels = np.atleast_3d(getattr(skimage.data, image)())
    for channel in range(pixels.shape[2]):
        if channel == 1:
            yield "halfway"
        counted = np.bincount(pixels[..., channel].ravel(), minlength=256)
        log(f"histogram/{image}/channel_{channel}", rr.BarChart(counted))


def training(log: Log, fold: str) -> Iterator[str]:
    """Train a logistic regression on the first 200 of scikit-image's 25x25 patches: 100 faces, 100 others.

    Plain gradient descent on the cross-entropy; one fold in five is kept for validation.
    """
    patches = skimage.data.lfw_subset().reshape(200, -1)
    patches = (patches - patches.mean(axis=0)) / patches.std(axis=0)
    is_face = np.arange(200) < 100
    held_out = np.arange(200) % FOLDS == int(fold)
    x, y = patches[~held_out], is_face[~held_out]
    weights: npt.NDArray[np.float64] = np.zeros(x.shape[1])
    for step in range(TRAINING_STEPS):
        if step == TRAINING_STEPS // 2:
            yield "halfway"
        rr.set_time("step", sequence=step)
        p = 1 / (1 + np.exp(-(x @ weights)))
        loss = -np.mean(np.where(y, np.log(p + 1e-12), np.log(1 - p + 1e-12)))
        weights -= LEARNING_RATE / x.shape[1] * (x.T @ (p - y))
        log(f"training/fold_{fold}/loss", rr.Scalars(loss))
        right = (patches[held_out] @ weights > 0) == is_face[held_out]
        log(f"training/fold_{fold}/accuracy", rr.Scalars(right.mean()))
    shown = weights.reshape(25, 25)
    log(f"training/fold_{fold}/weights", rr.Image((255 * (shown - np.min(shown)) / np.ptp(shown)).astype(np.uint8)))


WORK = {"edges": edges, "histogram": histogram, "training": training}


def work(index: int, pipe: Connection, counts: Counts) -> None:
    """Do tasks until there are no more, or the parent is gone. A worker process runs nothing else."""
    log = Log(index, counts)
    parent = multiprocessing.parent_process()
    assert parent is not None
    while pipe in wait([pipe, parent.sentinel]):
        task: Task | None = pipe.recv()
        if task is None:
            return
        for progress in WORK[task.kind](log, task.subject):
            pipe.send(progress)
        rr.reset_time()
        log("events", rr.TextLog(f"finished {task.kind} of {task.subject}", level="INFO"))
        pipe.send("finished")


# --- the pool -------------------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """A worker as the parent sees it."""

    index: int
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


@dataclass
class Pool:
    """The workers, and the tasks that no worker has yet."""

    todo: deque[Task]
    victim: int
    log: Log
    workers: list[Worker] = field(default_factory=list)

    def run(self, context: BaseContext, count: int) -> None:
        """Start `count` workers, and hand out tasks until all are done or no worker is left."""
        for index in range(1, count + 1):
            ours, theirs = context.Pipe()
            args = (index, theirs, self.log.counts)
            process: BaseProcess = context.Process(target=work, args=args, name=name_of(index))  # type: ignore[attr-defined]
            process.start()
            theirs.close()
            self.workers.append(Worker(index, process, ours))
        alive = list(self.workers)
        while alive:
            self.hand_out(alive)
            ready = wait([thing for worker in alive for thing in (worker.pipe, worker.process.sentinel)])
            for worker in list(alive):
                if worker.pipe in ready and not self.listen(worker):
                    alive.remove(worker)

    def hand_out(self, alive: list[Worker]) -> None:
        """Give each idle worker a task. When all tasks are done, tell every worker."""
        for worker in alive:
            if worker.task is None and self.todo:
                worker.task = self.todo.popleft()
                send(worker.pipe, worker.task)
        if not any(worker.task for worker in alive):
            for worker in alive:
                send(worker.pipe, None)

    def listen(self, worker: Worker) -> bool:
        """Read one message of a worker, and kill the victim halfway through a task. False: the worker has ended."""
        try:
            message = worker.pipe.recv()
        except (EOFError, ConnectionError):
            self.reap(worker)
            return False
        if message == "finished":
            worker.task = None
        elif worker.index == self.victim and worker.process.pid is not None:
            os.kill(worker.process.pid, signal.SIGKILL)
        return True

    def reap(self, worker: Worker) -> None:
        """Note how a worker ended, and put back the task that it did not finish."""
        worker.process.join()
        worker.pipe.close()
        self.log("events", rr.TextLog(f"{worker.process.name} ended: {ending(worker.process.exitcode)}", level="WARN"))
        if worker.task is not None:
            self.todo.appendleft(worker.task)


def send(pipe: Connection, task: Task | None) -> None:
    """Send a task to a worker. If it is dead, the next read of its pipe says so."""
    try:
        pipe.send(task)
    except ConnectionError:
        pass


def ending(exit_code: int | None) -> str:
    """Return how a process ended, in words."""
    return signal.Signals(-exit_code).name if exit_code is not None and exit_code < 0 else f"exit {exit_code}"


# --- the report -----------------------------------------------------------------------------------------------------


def rows_in(recording: Path) -> Counter[str]:
    """Count the rows of a recording by the last part of their entity path, each row id once."""
    seen: dict[str, set[bytes]] = {}
    for chunk in RrdReader(recording).stream():
        ids = chunk.to_record_batch().column("rerun.controls.RowId").to_pylist()
        seen.setdefault(chunk.entity_path.rpartition("/")[2], set()).update(ids)
    return Counter({name: len(ids) for name, ids in seen.items()})


def print_table(pool: Pool, recording: Path) -> bool:
    """Print the rows that each process logged and those in the recording. Return whether nothing is missing."""
    counts, found = pool.log.counts, rows_in(recording)
    endings = {PARENT: "reads this back"} | {w.index: ending(w.process.exitcode) for w in pool.workers}
    print(f"{'process':<12}{'rows logged':>12}{'in recording':>14}{'dropped':>9}  how it ended")
    complete = True
    for index, end in endings.items():
        logged, in_flight = counts.returned[index], counts.begun[index] - counts.returned[index]
        recorded = found[name_of(index)]
        # Rows logged = rows stored + rows dropped, and the file holds every stored row.
        print(f"{name_of(index):<12}{logged:>12}{recorded:>14}{max(0, logged - recorded):>9}  {end}", end="")
        print(f" (inside a call of log(): {in_flight})" if in_flight else "")
        complete &= logged <= recorded <= logged + in_flight
    return complete


# --- viewers --------------------------------------------------------------------------------------------------------


def layout() -> rrb.Blueprint:
    """Return the views that the viewer opens with."""
    plots = [
        rrb.TimeSeriesView(
            origin="training",
            contents=[f"$origin/fold_{fold}/{name}/**" for fold in range(FOLDS)],
            name=f"{name.capitalize()} of each fold and worker",
            plot_legend=rrb.PlotLegend(visible=False),
        )
        for name in ("loss", "accuracy")
    ]
    texts = [
        rrb.TextLogView(origin="/__rerun_mp", contents=["/__rerun_mp/crashes"], name="Killed"),
        rrb.TextLogView(origin="events", name="Events"),
    ]
    return rrb.Blueprint(
        rrb.Grid(
            rrb.Vertical(*plots),
            rrb.Vertical(*texts, row_shares=[2, 3]),
            rrb.Spatial2DView(origin=f"edges/{IMAGES[0]}/canny", name=f"Edges of {IMAGES[0]}"),
            rrb.BarChartView(origin=f"histogram/{IMAGES[0]}/channel_0", name=f"Brightness of {IMAGES[0]}"),
        ),
        collapse_panels=True,
    )


@dataclass
class Viewer:
    """An open viewer. One without a window is a process of ours, which we end."""

    url: str
    process: subprocess.Popen[bytes] | None = None
    picture_secs: float = PICTURE_SECS
    """Seconds that a picture may take."""

    def end(self, screenshot: Path) -> None:
        """Save a picture of a viewer without a window, and end it. A failure costs the picture and nothing else."""
        if self.process is None:
            return
        # The calls below have no time limit of their own. They fail as soon as the viewer is gone.
        limit = threading.Timer(self.picture_secs, self.process.kill)
        limit.start()
        try:
            client = ViewerClient.connect(self.url)
            client.set_time("log_time", play_state="following")
            screenshot.write_bytes(self.picture(client))
            print(f"What the viewer shows: {screenshot.resolve()}")
        except Exception as error:  # noqa: BLE001 (a slow or dead viewer fails in many ways)
            print(f"No picture: {one_line(error)}. The viewer's messages: {log_of(screenshot)}")
        limit.cancel()
        self.process.kill()
        self.process.wait()

    def picture(self, client: ViewerClient) -> bytes:
        """Take a picture. A slow viewer misses the client's own time limit, so try again while the viewer lives."""
        while True:
            try:
                return client.take_screenshot()
            except TimeoutError:
                if self.process is None or self.process.poll() is not None:
                    raise


def open_viewer(how: str, out: Path, picture_secs: float) -> Viewer | None:
    """Open a viewer, in a window where there is a display. Where that fails, print the reason and return None."""
    display = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if how == "no":
        return None
    try:
        if how == "window" or (how == "auto" and display):
            rr.spawn(connect=False)
            return Viewer("rerun+http://127.0.0.1:9876/proxy")
        return start_headless_viewer(log_of(out), picture_secs)
    except Exception as error:  # noqa: BLE001 (a viewer that cannot start fails in many ways)
        print(f"No viewer, which needs a Vulkan adapter (Debian: mesa-vulkan-drivers, libvulkan1): {one_line(error)}")
        return None


def start_headless_viewer(log_path: Path, picture_secs: float) -> Viewer:
    """Start a viewer without a window, and wait until it listens. Its messages go to `log_path`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(rerun_cli.__file__).with_name("rerun")
    command = [str(program), "--headless", "--bind=127.0.0.1", f"--port={port}", "--expect-data-soon"]
    with log_path.open("wb") as log_file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file)
    deadline = time.monotonic() + VIEWER_START_SECS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return Viewer(f"rerun+http://127.0.0.1:{port}/proxy", process, picture_secs)
        time.sleep(0.05)
    process.kill()
    raise RuntimeError(f"it ended with {process.wait()} before it listened; its messages: {log_path}")


def log_of(out: Path) -> Path:
    """Return the file that a viewer without a window writes its messages to."""
    return out.with_suffix(".viewer.log").resolve()


def one_line(error: Exception) -> str:
    """Return the first line of an exception's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example. Returns 0 if the recording holds every row that was logged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, default=4, help="at least 2; the first is killed (default 4)")
    parser.add_argument("--start-method", choices=multiprocessing.get_all_start_methods(), help="default: Python's")
    parser.add_argument("--out", type=Path, help="the .rrd to write (default: in the temporary directory)")
    parser.add_argument("--show", choices=["auto", "window", "screenshot", "no"], default="no", help="a viewer")
    parser.add_argument("--picture-secs", type=float, default=PICTURE_SECS, help="how long a screenshot may take")
    options = parser.parse_args(arguments)
    if options.workers < 2:
        parser.error("the example kills one worker, so give at least 2")
    out: Path = options.out or Path(tempfile.gettempdir()) / "rerun_mp_pool.rrd"

    rr.init("rerun_mp_pool")
    viewer = open_viewer(options.show, out, options.picture_secs)
    if viewer is None:
        rr.save(out, default_blueprint=layout())
    else:
        rr.set_sinks(rr.FileSink(out), rr.GrpcSink(viewer.url), default_blueprint=layout())
    context = multiprocessing.get_context(options.start_method)
    print(f"{options.workers} workers, started by {context.get_start_method()}; worker_1 will be killed with SIGKILL.")
    shared = [context.RawArray(ctypes.c_uint64, options.workers + 1) for _ in range(2)]
    pool = Pool(deque(tasks()), victim=1, log=Log(PARENT, Counts(*shared)))
    pool.run(context, options.workers)
    rr.disconnect()

    complete = print_table(pool, out)
    print(f"{'Nothing is missing' if complete else 'ROWS ARE MISSING'}. The recording: {out.resolve()}")
    if viewer is not None:
        viewer.end(out.with_suffix(".png"))
    return 0 if complete and not pool.todo else 1


if __name__ == "__main__":
    sys.exit(main())
