"""Programs that do what rerun's examples of the same names do: the same calls, with as much data.

`python example_programs.py PACKAGE NAME PATH` logs into the file PATH. It imports no more than the program needs, and
PACKAGE is the only difference between two runs.
"""

from __future__ import annotations

import math
import random
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["PROGRAMS"]


def shortest(rr: Any) -> None:
    """Log one number."""
    rr.log("number", rr.Scalars(1.0))


def minimal(rr: Any) -> None:
    """Log one cloud of a thousand colored points."""
    import numpy as np

    positions = np.vstack([axis.ravel() for axis in np.mgrid[3 * [slice(-10, 10, 10j)]]]).T
    colors = np.vstack([axis.ravel() for axis in np.mgrid[3 * [slice(0, 255, 10j)]]]).astype(np.uint8).T
    rr.log("points", rr.Points3D(positions, colors=colors, radii=0.5))


def clock(rr: Any) -> None:
    """Log three hands and their tips, ten thousand times."""
    import numpy as np

    rr.log("world", rr.ViewCoordinates.RIGHT_HAND_Y_UP, static=True)
    rr.log("world/frame", rr.Boxes3D(half_sizes=[20.0, 20.0, 1.0], centers=[0.0, 0.0, 0.0]), static=True)
    hands = (("seconds", 60, 20.0, 0.125), ("minutes", 3600, 10.0, 0.2), ("hours", 43200, 4.0, 0.3))
    for step in range(10_000):
        rr.set_time("time", duration=step)
        for name, period, length, width in hands:
            part = step % period / period
            tip = np.array((length * math.sin(math.tau * part), length * math.cos(math.tau * part), 0.0))
            color = (int(255 - part * 255), int(part * 255), 0, 128)
            rr.log(f"world/{name}_pt", rr.Points3D(positions=tip, colors=color))
            rr.log(f"world/{name}_hand", rr.Arrows3D(vectors=tip, colors=color, radii=width))


def dna(rr: Any) -> None:
    """Log a double helix of beads that turns."""
    import numpy as np

    utilities = import_module(f"{rr.__name__}.utilities")
    bounce_lerp, build_color_spiral = utilities.bounce_lerp, utilities.build_color_spiral
    number = 100
    rr.log("description", rr.TextDocument("A double helix.", media_type=rr.MediaType.MARKDOWN), static=True)
    rr.set_time("time", duration=0)
    left, right = (build_color_spiral(number, angular_offset=turns * math.tau) for turns in (0.0, 0.5))
    for name, (points, colors) in (("left", left), ("right", right)):
        rr.log(f"helix/{name}", rr.Points3D(points, colors=colors, radii=0.08), static=True)
    rungs = np.stack((left[0], right[0]), axis=1)
    rr.log("helix/rungs", rr.LineStrips3D(rungs, colors=[128, 128, 128]), static=True)
    offsets = np.random.default_rng(7).random(number)
    for step in range(400):
        time = step * 0.01
        rr.set_time("time", duration=time)
        times = time + offsets
        beads = [bounce_lerp(left[0][n], right[0][n], times[n]) for n in range(number)]
        greys = [[int(bounce_lerp(80, 230, times[n] * 2))] for n in range(number)]
        rr.log("helix/beads", rr.Points3D(beads, radii=0.06, colors=np.repeat(greys, 3, axis=-1)))
        turn = rr.RotationAxisAngle(axis=[0, 0, 1], radians=time / 4 * math.tau)
        rr.log("helix", rr.Transform3D(rotation=turn))


def plots(rr: Any) -> None:
    """Log a bar chart, styled curves, waves, a column of points, and samples with their class."""
    import numpy as np

    rr.set_time("frame", sequence=0)
    rr.log("bars", rr.BarChart(np.exp(-np.square(np.arange(-5, 5, 0.1)))))
    rr.log("curves/parabola", rr.SeriesLines(names="a parabola"), static=True)
    for frame in range(0, 1000, 10):
        rr.set_time("frame", sequence=frame)
        value = (frame * 0.01 - 5) ** 3 + 1
        width = np.clip(abs(value) * 0.1, 0.5, 10.0)
        rr.log("curves/parabola", rr.Scalars(value), rr.SeriesLines(widths=width, colors=[255, 255, 0]))
    for frame in range(1256):
        rr.set_time("frame", sequence=frame)
        rr.log("waves/sine", rr.Scalars(math.sin(frame / 100)))
        rr.log("waves/cosine", rr.Scalars(math.cos(frame / 100)))
    times = np.arange(1256)
    spiral = np.array((times * np.cos(times), times * np.sin(times))).T
    rr.send_columns("spiral", [rr.TimeColumn("frame", sequence=times)], [*rr.Scalars.columns(scalars=spiral)])
    for frame in range(0, 1000, 2):
        rr.set_time("frame", sequence=frame)
        rr.log("classes/line", rr.Scalars(0.02 * frame + 2))
        sample = 0.02 * frame + random.uniform(-3.0, 7.0)
        style = rr.SeriesPoints(colors=[255, 255, 255], marker_sizes=abs(sample))
        rr.log("classes/samples", rr.Scalars(sample), style)


def multithreading(rr: Any) -> None:
    """Log boxes in ten threads, a thousand times each."""
    import numpy as np

    def log_boxes(path: str, color: list[int]) -> None:
        for _ in range(1000):
            corners = np.random.rand(5, 2) * 1024
            boxes = np.hstack((corners, np.random.rand(5, 2) * (1024 - corners + 1)))
            rr.log(path, rr.Boxes2D(array=boxes, array_format=rr.Box2DFormat.XYWH, colors=color))

    threads = [threading.Thread(target=log_boxes, args=(f"thread/{n}", [n, 2 * n, 3 * n])) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


PROGRAMS: dict[str, Callable[[Any], None]] = {
    program.__name__: program for program in (shortest, minimal, clock, dna, plots, multithreading)
}


def main(package: str, name: str, path: str) -> None:
    """Run one program."""
    rr: Any = import_module(package)
    rr.init(f"rerun_example_{name}")
    rr.save(path)
    PROGRAMS[name](rr)


if __name__ == "__main__":
    main(*sys.argv[1:])
