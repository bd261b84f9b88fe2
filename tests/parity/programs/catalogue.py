"""Short programs that log, each with rerun or with rerun_mp.

    python -m tests.parity.programs.catalogue PACKAGE DIRECTORY [GENERATED.json]

runs all of them with PACKAGE, or those in GENERATED.json; each writes DIRECTORY/NAME.rrd. They log nothing that depends
on the time, and send no recording properties except where these are the subject. Assets lie in the directory above.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.parity.archetypes import ways

__all__ = ["PROGRAMS", "run"]

Program = Callable[[Any], None]

PROGRAMS: dict[str, Program] = {}
RELEASE = tuple(int(part) for part in version("rerun-sdk").split(".")[:2])
"""The minor release of rerun-sdk that is installed."""


def program(function: Program) -> Program:
    """Add a function to the programs. When it runs, the active recording goes to its file."""
    PROGRAMS[function.__name__] = function
    return function


def program_since(*release: int) -> Callable[[Program], Program]:
    """Add a function to the programs if rerun-sdk is at least of this release, which brought what it uses."""
    return program if release <= RELEASE else lambda function: function


def archetype_programs(rr: Any) -> dict[str, Program]:
    """Return a program for each archetype: it logs each way to make one, over time, with others, static, cleared."""

    def program_of(name: str, calls: list[dict[str, Any]]) -> Program:
        def log(rr: Any) -> None:
            archetype = getattr(rr.archetypes, name)
            for number, arguments in enumerate(calls):
                rr.set_time("call", sequence=number)
                rr.set_time("elapsed", duration=0.5 * number)
                rr.log("each", archetype(**arguments))
                rr.log(f"one/{number}", archetype(**arguments), rr.AnyValues(number=number))
                rr.log(f"static/{number}", archetype(**arguments), static=True)
                for argument in arguments:
                    with contextlib.suppress(TypeError, ValueError):
                        rr.set_time("moment", timestamp=1_700_000_000 + number)
                        rr.log(["alone", argument], archetype(**{argument: arguments[argument]}))
                rr.disable_timeline("moment")
            for step in range(5):
                rr.set_time("step", sequence=step)
                rr.log("loop", archetype(**calls[0]))
            if hasattr(archetype, "cleared"):
                rr.log("each", archetype.cleared())
            if hasattr(archetype, "from_fields"):
                rr.log("fields", archetype.from_fields(clear_unset=True))

        return log

    return {f"archetype {name}": program_of(name, calls) for name, calls in ways(rr).items()}


@program
def scalars_over_three_timelines(rr: Any) -> None:
    """Log as a training loop does."""
    for step in range(100):
        rr.set_time("step", sequence=step)
        rr.set_time("elapsed", duration=datetime.timedelta(milliseconds=step))
        rr.set_time("when", timestamp=np.datetime64(1_700_000_000 + step, "s"))
        rr.log("loss/train", rr.Scalars(1.0 / (step + 1)))
        if step % 10 == 0:
            rr.log("loss/test", rr.Scalars([step, 2.0]))


@program_since(0, 34)
def log_tick_and_no_log_time(rr: Any) -> None:
    rr.set_log_tick_enabled(True)
    rr.log("a", rr.Scalars(1.0))
    rr.set_log_time_enabled(False)
    rr.log("a", rr.Scalars(2.0))
    rr.set_log_tick_enabled(False)
    rr.log("a", rr.Scalars(3.0))
    rr.log("b", rr.TextLog("static"), static=True)


@program
def times_of_every_kind(rr: Any) -> None:
    for number, value in enumerate((0, 1, 1.5, -2, datetime.timedelta(seconds=3), np.timedelta64(4, "ms"))):
        rr.set_time("duration", duration=value)
        rr.log("duration", rr.Scalars(number))
    moments = (0, 1.25, 1_700_000_000, datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), np.datetime64("2020-01-01"))
    for number, moment in enumerate(moments):
        rr.set_time("timestamp", timestamp=moment)
        rr.log("timestamp", rr.Scalars(number))
    for integer in (0, 1, -1, 2**62, -(2**62), np.int32(5)):
        rr.set_time("sequence", sequence=integer)
        rr.log("sequence", rr.Scalars(float(integer)))


@program
def timelines_come_and_go(rr: Any) -> None:
    for step in range(20):
        rr.set_time("a", sequence=step)
        if step % 3 == 0:
            rr.set_time("b", sequence=step)
        if step % 5 == 0:
            rr.disable_timeline("a")
        if step % 7 == 0:
            rr.reset_time()
        rr.log("x", rr.Scalars(step))
        rr.log("y", rr.TextLog(str(step)))


@program
def threads_have_times_of_their_own(rr: Any) -> None:
    def work(name: str) -> None:
        for step in range(20):
            rr.set_time(name, sequence=step)
            rr.log(name, rr.Scalars(step))

    rr.set_time("main", sequence=1)
    threads = [threading.Thread(target=work, args=(f"thread{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rr.log("main", rr.Scalars(1.0))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work, "pool").result()


@program
def tasks_share_their_thread(rr: Any) -> None:
    async def work(name: str) -> None:
        for step in range(5):
            rr.set_time("step", sequence=step)
            await asyncio.sleep(0)
            rr.log(name, rr.Scalars(step))

    async def main() -> None:
        await asyncio.gather(work("one"), work("two"))

    asyncio.run(main())


@program
def generators_keep_their_recording(rr: Any) -> None:
    @rr.recording_stream_generator_ctx  # type: ignore[untyped-decorator]
    def steps(name: str) -> Any:
        with rr.RecordingStream(name):
            for step in range(3):
                rr.log("elsewhere", rr.Scalars(step))
                yield step

    for step in steps("rerun_example_other"):
        rr.log("here", rr.Scalars(step))


@program
def paths_of_every_kind(rr: Any) -> None:
    for path in ("a", "/a/b", "a/b c", r"with\ space", ["list", "of parts", 3], "ü/ö", r"a\/b", "x:y", "_a", "a.b"):
        rr.log(path, rr.Scalars(1.0))
    rr.log("/".join(map(rr.escape_entity_path_part, ("a/b", "c d", "!"))), rr.Scalars(1.0))
    rr.log(rr.new_entity_path(["new", "en tity"]), rr.Scalars(1.0))


@program
def several_archetypes_in_a_row(rr: Any) -> None:
    for step in range(10):
        rr.set_time("step", sequence=step)
        rr.log("world", rr.Transform3D(translation=[step, 0, 0]), rr.TransformAxes3D(1.0), rr.AnyValues(step=step))
        rr.log("cloud", rr.Points3D(np.full((step, 3), step)), rr.AnyValues(name="n", flag=True, numbers=[1.5, 2]))


@program
def any_values_of_every_kind(rr: Any) -> None:
    rr.log("a", rr.AnyValues(i=1, f=1.5, s="s", b=True, ints=[1, 2], floats=np.zeros(3), strings=["a", "b"]))
    rr.log("b", rr.AnyValues(drop_untyped_nones=True, nothing=None, something=1))
    rr.log("c", rr.AnyValues(array=np.zeros((2, 3), np.uint8), raw=b"bytes"))
    rr.log("d", rr.AnyBatchValue("x", np.arange(3)))
    for step in range(5):
        rr.set_time("step", sequence=step)
        rr.log("e", rr.AnyValues(x=step, y=float(step)))
    rr.send_columns("f", [rr.TimeColumn("t", sequence=[1, 2])], rr.AnyValues.columns(x=np.arange(2), y=np.ones(2)))


@program
def dynamic_archetypes(rr: Any) -> None:
    rr.log("a", rr.DynamicArchetype("my.Archetype", components={"number": 1, "text": "t"}))
    for step in range(3):
        rr.set_time("step", sequence=step)
        rr.log("b", rr.DynamicArchetype("my.Archetype", components={"array": np.full(3, step)}))
    columns = rr.DynamicArchetype.columns("my.Archetype", components={"x": [1.0, 2.0]})
    rr.send_columns("c", [rr.TimeColumn("t", sequence=[1, 2])], columns)


@program
def archetypes_of_the_users(rr: Any) -> None:
    class Confident(rr.AsComponents):  # type: ignore[misc]
        def as_component_batches(self) -> list[Any]:
            descriptor = rr.ComponentDescriptor("user:confidence", archetype="user", component_type="user.Confidence")
            batches: list[Any] = rr.Points3D([[1, 2, 3]]).as_component_batches()
            return [*batches, rr.AnyBatchValue(descriptor, [0.5])]

    for step in range(4):
        rr.set_time("step", sequence=step)
        rr.log("user", Confident())
    rr.log("batches", rr.Points2D([[1, 2]]).as_component_batches())
    rr.log("batches", [*rr.Points2D([[1, 2]]).as_component_batches(), *rr.Scalars(1.0).as_component_batches()])


@program
def columns_of_every_kind(rr: Any) -> None:
    times = [
        rr.TimeColumn("sequence", sequence=range(3)),
        rr.TimeColumn("duration", duration=[0.5, 1, 2]),
        rr.TimeColumn("timestamp", timestamp=np.arange(3).astype("datetime64[s]")),
    ]
    rr.send_columns("scalars", times, rr.Scalars.columns(scalars=np.arange(3.0)))
    lengths = [2, 0, 3]
    rr.send_columns(
        "points", times[:1], rr.Points3D.columns(positions=np.ones((5, 3)), radii=np.ones(5)).partition(lengths)
    )
    rr.send_columns("static", [], rr.Scalars.columns(scalars=[1.0]))
    rr.send_columns(
        "several",
        times,
        [
            *rr.Points2D.columns(positions=np.ones((3, 2)), colors=np.full(3, 0xFF)),
            *rr.AnyValues.columns(x=np.arange(3), y=np.ones(3)),
        ],
    )
    rr.send_columns("text", times[1:2], rr.TextLog.columns(text=["a", "b", "c"], level=["INFO", "WARN", "INFO"]))
    rr.send_columns("images", times[:1], rr.Image.columns(buffer=[bytes(4)] * 3, format=[_format(rr)] * 3))
    rr.send_columns("transforms", times, rr.Transform3D.columns(translation=np.ones((3, 3)), scale=np.ones((3, 3))))
    rr.send_columns(
        "unsorted", [rr.TimeColumn("step", sequence=[3, 1, 2])], rr.Scalars.columns(scalars=[3.0, 1.0, 2.0])
    )


def _format(rr: Any) -> Any:
    return rr.components.ImageFormat(width=2, height=2, color_model="L", channel_datatype="U8")


@program
def many_columns_of_many_rows(rr: Any) -> None:
    for number in range(5):
        steps = np.arange(number * 1000, (number + 1) * 1000)
        rr.send_columns("big", [rr.TimeColumn("step", sequence=steps)], rr.Scalars.columns(scalars=np.sin(steps)))


@program
def record_batches_and_dataframes(rr: Any) -> None:
    step = pa.field("step", pa.int64(), metadata={"rerun:kind": "index", "rerun:index_name": "step"})
    value = pa.field("value", pa.list_(pa.float64()), metadata={"rerun:kind": "data", "rerun:entity_path": "/frame"})
    batch = pa.RecordBatch.from_arrays(
        [pa.array([1, 2, 3]), pa.array([[1.0], [2.0], [3.0]])], schema=pa.schema([step, value])
    )
    rr.send_record_batch(batch)
    rr.send_dataframe(pa.Table.from_batches([batch, batch]))


@program_since(0, 38)
def chunks_of_another_recording(rr: Any) -> None:
    # Found without rerun_mp, which would change what rerun does. Some releases have it in `rerun.experimental`.
    chunk = import_module("rerun.chunk" if find_spec("rerun.chunk") else "rerun.experimental").Chunk
    rr.send_chunks(
        chunk.from_columns("chunked", [rr.TimeColumn("t", sequence=[1, 2])], rr.Scalars.columns(scalars=[1.0, 2.0]))
    )


@program
def properties(rr: Any) -> None:
    rr.send_property("situation", rr.AnyValues(weather="rain", temperature=3))
    rr.send_property("place", rr.GeoPoints(lat_lon=[[48.1, 11.6]]))
    rr.send_recording_name("a name")
    rr.send_recording_start_time_nanos(1_700_000_000_000_000_000)


@program
def clears(rr: Any) -> None:
    for step in range(6):
        rr.set_time("step", sequence=step)
        rr.log("a/b", rr.Points3D([[step, 0, 0]]))
        if step == 3:
            rr.log("a", rr.Clear(recursive=True))
        if step == 4:
            rr.log("a/b", rr.Clear(recursive=False))


@program
def partial_updates(rr: Any) -> None:
    rr.log("points", rr.Points3D(np.ones((4, 3)), colors=[0xFF0000FF], radii=[1.0]))
    for step in range(4):
        rr.set_time("step", sequence=step)
        rr.log("radii", rr.Points3D.from_fields(radii=np.full(4, step)))
        rr.log("colors", rr.Points3D.from_fields(colors=[step]))
        rr.log("cleared", rr.Points3D.from_fields(colors=[step], clear_unset=True))


@program
def poses_beside_boxes(rr: Any) -> None:
    """Log archetypes of equal Arrow types to one entity: rerun puts them into one chunk, if no flush comes between."""
    rr.set_time("step", sequence=0)
    rr.log("world/box", rr.Boxes3D(half_sizes=[[1.0, 2.0, 3.0]]))
    for step in range(60):
        rr.set_time("step", sequence=step)
        rr.log("world/box", rr.Transform3D(rotation_axis_angle=rr.RotationAxisAngle([0, 0, 1], degrees=6 * step)))
        rr.log("world/box", rr.InstancePoses3D(translations=[0.0, 0.0, 0.1 * step]))


@program
def images_row_by_row(rr: Any) -> None:
    """Log so many images that `rerun rrd optimize` makes several chunks of them."""
    for step in range(20):
        rr.set_time("step", sequence=step)
        rr.log("image", rr.Image(np.full((200, 300, 3), step, np.uint8)))


@program
def images_in_columns(rr: Any) -> None:
    """Send the same images at once, beside a static format."""
    images = np.repeat(np.arange(20, dtype=np.uint8), 200 * 300 * 3).reshape(20, -1)
    image_format = rr.components.ImageFormat(width=300, height=200, color_model="RGB", channel_datatype="U8")
    rr.log("image", rr.Image.from_fields(format=image_format), static=True)
    rr.send_columns("image", [rr.TimeColumn("step", sequence=range(20))], rr.Image.columns(buffer=images))


@program
def meshes_clouds_and_transforms_in_parts(rr: Any) -> None:
    """Log a whole first, and then some of its fields over time, by row and by column."""
    triangle = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    rr.set_time("step", sequence=0)
    rr.log("mesh", rr.Mesh3D(vertex_positions=triangle, vertex_colors=[[255, 0, 0], [0, 255, 0], [0, 0, 255]]))
    rr.log("cloud", rr.Points3D([[step, 0, 0] for step in range(10)]))
    rr.log("body", rr.Transform3D(translation=[1, 2, 3], scale=2.0))
    for step in range(1, 30):
        rr.set_time("step", sequence=step)
        rr.log("mesh", rr.Mesh3D.from_fields(vertex_positions=np.multiply(triangle, step)))
        rr.log("cloud", rr.Points3D.from_fields(radii=[0.1 * step], colors=[[step, 0, 0]]))
        rr.log("body", rr.Transform3D.from_fields(translation=[step, 0, 0]))
    rr.log("cloud", rr.Points3D.from_fields(clear_unset=True, positions=[[1, 1, 1]]))
    steps = rr.TimeColumn("step", sequence=range(30, 40))
    rr.send_columns("body", [steps], rr.Transform3D.columns(translation=np.ones((10, 3))))
    rr.send_columns("cloud", [steps], rr.Points3D.columns(radii=np.ones(10)))
    vectors = rr.Arrows3D.columns(origins=np.zeros((20, 3)), vectors=np.ones((20, 3))).partition([2] * 10)
    rr.send_columns("arrows", [steps], vectors)


@program
def images_of_every_type(rr: Any) -> None:
    for dtype in (np.uint8, np.uint16, np.uint32, np.int8, np.int16, np.float16, np.float32, np.float64):
        for channels in (1, 3, 4):
            rr.log(f"image/{dtype.__name__}/{channels}", rr.Image(np.ones((3, 5, channels), dtype)))
        rr.log(f"tensor/{dtype.__name__}", rr.Tensor(np.ones((2, 3, 4, 5), dtype)))
    rr.log("sliced", rr.Image(np.ones((8, 10, 3), np.uint8)[::2, ::2]))
    rr.log("depth", rr.DepthImage(np.ones((4, 4), np.float32)[:, ::-1], meter=1.0))


@program
def large_images(rr: Any) -> None:
    for step in range(3):
        rr.set_time("step", sequence=step)
        rr.log("large", rr.Image(np.full((1080, 1920, 3), step, np.uint8)))
        rr.log("compressed", rr.Image(np.full((64, 64, 3), step, np.uint8)).compress(jpeg_quality=90))


@program
def text_through_logging(rr: Any) -> None:
    logger = logging.getLogger("parity")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    handler = rr.LoggingHandler("logs/handler")
    logger.addHandler(handler)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logger.log(level, "message of %s", level)
    logger.removeHandler(handler)


@program
def warnings_of_wrong_calls(rr: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rr.log("wrong", rr.Points3D([1, 2, 3, 4, 5]))
        rr.log("right", rr.Points3D([[1, 2, 3]], colors="RED"))


@program
def texts_with_lone_surrogates(rr: Any) -> None:
    """UTF-8 cannot express them: only the call that contains one is refused; all other rows are kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(3):
            rr.set_time("step", sequence=step)
            rr.log("good", rr.Scalars(step))
            rr.log("text", rr.TextLog("good"))
            rr.log("text", rr.TextLog("bad \ud800"))
            rr.log("text", rr.TextLog("good", level="\ud800"))
            rr.log("bad/\ud800", rr.Scalars(step))
            for kind in ("sequence", "duration", "timestamp"):
                with contextlib.suppress(UnicodeEncodeError):
                    rr.set_time("\ud800", **{kind: step})
            rr.log("good", rr.TextLog("still good"))


@program
def recordings_side_by_side(rr: Any) -> None:
    other = rr.RecordingStream("rerun_example_other", recording_id="other")
    for step in range(5):
        rr.set_time("step", sequence=step)
        other.set_time("other", sequence=step)
        rr.log("here", rr.Scalars(step))
        other.log("there", rr.Scalars(step))
        with other:
            rr.log("there", rr.Scalars(step))


@program
def a_robot(rr: Any) -> None:
    rr.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    rr.log("world/camera", rr.Pinhole(resolution=[64, 48], focal_length=50.0), static=True)
    rr.log("/", rr.AnnotationContext([(0, "background"), (1, "thing", [255, 0, 0])]), static=True)
    random = np.random.default_rng(0)
    for step in range(20):
        rr.set_time("frame", sequence=step)
        rr.set_time("stamp", timestamp=1_700_000_000 + step / 30)
        rr.log("world/robot", rr.Transform3D(translation=[step, 0, 0], rotation=rr.RotationAxisAngle([0, 0, 1], step)))
        rr.log("world/robot/lidar", rr.Points3D(random.random((100, 3)), colors=random.integers(0, 255, (100, 3))))
        rr.log("world/camera/image", rr.Image(random.integers(0, 255, (48, 64, 3), dtype=np.uint8)))
        rr.log("world/camera/segmentation", rr.SegmentationImage(random.integers(0, 2, (48, 64), dtype=np.uint8)))
        rr.log("world/boxes", rr.Boxes3D(half_sizes=[1, 1, 1], centers=random.random((3, 3)), labels=["a", "b", "c"]))
        rr.log("speed", rr.Scalars(random.random()))
        rr.log("status", rr.TextLog("running", level=rr.TextLogLevel.INFO))


@program
def numbers_at_the_edge(rr: Any) -> None:
    for step, number in enumerate((float("inf"), float("-inf"), -0.0, 1e308, 5e-324, True, np.float64(2), 10**15)):
        rr.set_time("step", sequence=step)
        rr.log("number", rr.Scalars(number))


@program
def nothing_at_all(rr: Any) -> None:
    rr.log("empty", rr.Points3D([]))
    rr.log("empty", rr.Points3D(np.zeros((0, 3))), static=True)
    rr.log("empty/list", [])


@program
def many_entities(rr: Any) -> None:
    for number in range(300):
        rr.set_time("step", sequence=number % 7)
        rr.log(f"many/{number}", rr.Scalars(number), static=number % 3 == 0)


@program
def static_data_over_and_over(rr: Any) -> None:
    for step in range(10):
        rr.set_time("step", sequence=step)
        rr.log("latest", rr.Scalars(step), static=True)


def generated(rr: Any, steps: list[list[Any]]) -> None:
    """Run a generated program: steps of a name and arguments."""
    made = ways(rr)
    for number, (name, *arguments) in enumerate(steps):
        if name == "log":
            archetype, way, is_static, has_more = arguments
            calls = made[archetype]
            given = getattr(rr.archetypes, archetype)(**calls[way % len(calls)])
            more = [rr.AnyValues(more=way)] * has_more
            # A newer chunk of static rows replaces an older one, and chunk bounds vary: an entity for each static row.
            own = f"static/{number}" if is_static else f"over time/{has_more}"
            rr.log(f"{archetype}/{way % len(calls)}/{own}", given, *more, static=is_static)
        elif name == "set_time":
            kind, time = arguments
            rr.set_time(kind, **{kind: time})
        elif name == "send_columns":
            kind, times = arguments
            columns = rr.Scalars.columns(scalars=[float(time) for time in times])
            rr.send_columns(f"columns/{number}", [rr.TimeColumn(kind, **{kind: times})], columns)
        else:
            getattr(rr, name)(*arguments)


def run(package: str, directory: Path, generated_steps: list[list[list[Any]]] | None = None) -> list[str]:
    """Run every program, or the generated ones, with a package; each writes DIRECTORY/NAME.rrd."""
    rr = import_module(package)
    if generated_steps is None:
        programs = PROGRAMS | archetype_programs(rr)
    else:
        programs = {
            f"generated{number}": partial(generated, steps=steps) for number, steps in enumerate(generated_steps)
        }
    for name, function in programs.items():
        rr.init("rerun_example_parity", recording_id=name, send_properties=False)
        rr.save(directory / f"{name}.rrd")
        function(rr)
        rr.reset_time()
        if RELEASE >= (0, 34):
            rr.set_log_time_enabled(True)
            rr.set_log_tick_enabled(False)
        rr.disconnect()
    assert package == "rerun_mp" or "rerun_mp" not in sys.modules, "rerun is no longer itself"
    return list(programs)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.chdir(Path(sys.argv[2]).parent)
    run(sys.argv[1], Path(sys.argv[2]), *(json.loads(Path(path).read_text()) for path in sys.argv[3:]))
