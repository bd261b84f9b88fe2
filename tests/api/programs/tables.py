"""Log every archetype, and rows of several, so often that the rows lie in tables. Arguments: package, path."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import numpy as np

from tests.parity.archetypes import UNSERIALISABLE, ways

TIMES = 6

rr: Any = importlib.import_module(sys.argv[1])
archetypes: Any = importlib.import_module(f"{sys.argv[1]}.archetypes")
warnings.simplefilter("ignore")
rr.init("app", recording_id="tables")
rr.save(sys.argv[2])
for name, calls in ways(rr).items():
    for number, call in enumerate(calls):
        arguments = {key: value for key, value in call.items() if f"{name}.{key}" not in UNSERIALISABLE}
        for step in range(TIMES):
            rr.set_time("step", sequence=step)
            make: Any = getattr(rr, name, None) or getattr(archetypes, name)
            rr.log(f"{name}/{number}", make(**arguments))
for step in range(TIMES):
    rr.set_time("step", sequence=step)
    points = rr.Points3D(np.full((step, 3), step, np.float32), colors=[[step, 2, 3]] * step, labels=["ü" * step])
    rr.log("two", points, rr.Transform3D(translation=[step, 0, 0]))
    rr.log("three", rr.Scalars(step), rr.TextLog("text", level="INFO"), rr.AnyValues(extra=[step, 2]))
    rr.log("four", rr.TextLog("no level"), rr.Scalars(0.5), rr.SeriesLines(names="n"))
    rr.log("any", rr.AnyValues(confidence=[1.5, step], text="text", flag=True, nested=[[1, 2], [step]]))
    rr.log("dynamic", rr.DynamicArchetype("My", components={"size": step, "name": ["a", "b"]}))
    rr.log("fields", rr.Points3D.from_fields(radii=[step, 2]))
    rr.log("cleared", rr.Points3D.from_fields(clear_unset=True, colors=[0xFF]))
    rr.log("twice", rr.Points3D([[step, 0, 0]]), rr.Points3D([[step, 1, 1]]))
    rr.log(["a b", "c"], rr.Arrows3D(vectors=[[step, 0, 0]]))
    rr.log("static", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    rr.log(f"static/{step}", rr.Points3D([[step, 0, 0]], radii=step), static=True)
    rr.log(f"static/scalar/{step}", rr.Scalars(step), static=True)
    rr.log(f"static/two/{step}", rr.Transform3D(scale=step + 1), rr.Clear(recursive=False), static=True)
rr.set_time("other", duration=1.5)
for size in (1, 100, 10000, 3):
    rr.log("sizes", rr.LineStrips2D([np.full((size, 2), n) for n in range(3)], radii=[size]))
    rr.log("large", rr.Points3D(np.full((size, 3), size, np.float32), colors=np.full((size, 3), 7, np.uint8)))
