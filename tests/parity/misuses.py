"""Wrong calls and their outcomes, with rerun or with rerun_mp.

    python -m tests.parity.misuses PACKAGE [strict]

prints a JSON object: call -> the class of its exception and its base classes, or its warnings. A warning has a
category, a message, and whether it appears at the line of the call.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import warnings
from importlib import import_module
from typing import Any

CALLS = """
rr.log("a")
rr.log("a", 5)
rr.log("a", None)
rr.log("a", "text")
rr.log("a", object())
rr.log("a", [1, 2])
rr.log("a", [None])
rr.log("a", {"x": 1})
rr.log("a", rr.Scalars)
rr.log(5, rr.Scalars(1.0))
rr.log(None, rr.Scalars(1.0))
rr.log(b"a", rr.Scalars(1.0))
rr.log("a", rr.Scalars(1.0), "text")
rr.log("a", rr.Scalars(1.0), recording="x")
rr.log("a", rr.Scalars(1.0), unknown=1)
rr.log("a//b", rr.Scalars(1.0))
rr.log("", rr.Scalars(1.0))
rr.log("a", rr.Scalars("x"))
rr.log("a", rr.Scalars(None))
rr.log("a", rr.Scalars([[1, 2], [3]]))
rr.log("a", rr.Scalars())
rr.log("a", rr.Scalars(1.0, 2.0))
rr.log("a", rr.Scalars(object()))
rr.log("a", rr.Points3D([1, 2]))
rr.log("a", rr.Points3D("x"))
rr.log("a", rr.Points3D([[1, 2, 3]], colors="RED"))
rr.log("a", rr.Points3D([[1, 2, 3]], radii="x"))
rr.log("a", rr.Points3D([[1, 2, 3]], unknown=1))
rr.log("a", rr.Points2D([[1, 2, 3]]))
rr.log("a", rr.Image("x"))
rr.log("a", rr.Image(np.zeros((2,))))
rr.log("a", rr.Image(np.zeros((2, 2, 7))))
rr.log("a", rr.Image(np.zeros((2, 2, 3), "complex64")))
rr.log("a", rr.Image())
rr.log("a", rr.Image(bytes=b"", width=2))
rr.log("a", rr.DepthImage(np.zeros((2, 2, 3))))
rr.log("a", rr.SegmentationImage(np.zeros((2, 2, 3))))
rr.log("a", rr.Tensor("x"))
rr.log("a", rr.Tensor(np.zeros((2, 2)), dim_names=["a", "b", "c"]))
rr.log("a", rr.Transform3D(translation="x"))
rr.log("a", rr.Transform3D(translation=[1, 2]))
rr.log("a", rr.Transform3D(rotation=[1, 2, 3, 4, 5]))
rr.log("a", rr.Transform3D(mat3x3=[1, 2, 3]))
rr.log("a", rr.Transform3D(quaternion=[0, 0, 1]))
rr.log("a", rr.Transform3D(1))
rr.log("a", rr.TextLog(5))
rr.log("a", rr.TextLog())
rr.log("a", rr.TextLog("a", level=5))
rr.log("a", rr.TextLog("a", color="x"))
rr.log("a", rr.TextLog("\\ud800"))
rr.log("a", rr.TextLog("a", level="\\ud800"))
rr.log("a", rr.TextDocument("\\ud800"))
rr.log("\\ud800", rr.Scalars(1.0))
rr.log(["\\ud800"], rr.Scalars(1.0))
rr.log("a", rr.EncodedImage())
rr.log("a", rr.EncodedImage(path="missing.png"))
rr.log("a", rr.Pinhole(focal_length=3))
rr.log("a", rr.Boxes3D(half_sizes=[1, 1, 1], sizes=[1, 1, 1]))
rr.log("a", rr.Mesh3D(vertex_positions="x"))
rr.log("a", rr.LineStrips3D([1, 2]))
rr.log("a", rr.BarChart("x"))
rr.log("a", rr.AnyValues(x=object()))
rr.log("a", rr.AnyValues(x=[1, "a"]))
rr.log("a", rr.AnnotationContext("x"))
rr.log("a", rr.Clear())
rr.log("a", rr.Arrows3D(vectors=[1]))
rr.log("a", rr.Asset3D())
rr.log("a", rr.GeoPoints(lat_lon="x"))
rr.set_time("t")
rr.set_time("t", sequence="x")
rr.set_time("t", sequence=1.5)
rr.set_time("t", sequence=None)
rr.set_time("t", sequence=2**63)
rr.set_time("t", sequence=1, duration=1)
rr.set_time("t", duration="x")
rr.set_time("t", timestamp="yesterday")
rr.set_time("t", timestamp=object())
rr.set_time("t", duration=float("inf"))
rr.set_time(5, sequence=1)
rr.set_time()
rr.set_time("\\ud800", sequence=1)
rr.set_time("\\ud800", duration=1)
rr.set_time("\\ud800", timestamp=1)
rr.set_time("t", 5)
rr.set_time("t", unknown=1)
rr.disable_timeline(5)
rr.disable_timeline("\\ud800")
rr.send_columns("a", [], [])
rr.send_columns("a", [rr.TimeColumn("t", sequence=[1, 2])], rr.Scalars.columns(scalars=[1.0]))
rr.send_columns("a", [rr.TimeColumn(t, sequence=range(len(t))) for t in ("t", "tt")], rr.Scalars.columns(scalars=[1.0]))
rr.send_columns("a", [rr.TimeColumn("t", sequence=[1])], [])
rr.send_columns("a", [5], rr.Scalars.columns(scalars=[1.0]))
rr.send_columns("a", [rr.TimeColumn("t", sequence=[1])], [5])
rr.send_columns("a", None, None)
rr.send_columns("a", [rr.TimeColumn("t", sequence=[1])], rr.Scalars(1.0))
rr.send_columns(5, [rr.TimeColumn("t", sequence=[1])], rr.Scalars.columns(scalars=[1.0]))
rr.send_columns("a", [rr.TimeColumn("\\ud800", sequence=[1])], rr.Scalars.columns(scalars=[1.0]))
rr.TimeColumn("t")
rr.TimeColumn("t", sequence=[1], duration=[1])
rr.TimeColumn("t", sequence=["x"])
rr.init("")
rr.init(5)
rr.init()
rr.init("app", recording_id=5)
rr.RecordingStream()
rr.RecordingStream("")
rr.RecordingStream(5)
rr.save(5)
rr.save()
rr.save("missing/directory/run.rrd")
rr.connect_grpc("foo")
rr.connect_grpc("http://127.0.0.1/proxy")
rr.connect_grpc(5)
rr.set_sinks(rr.FileSink("a.rrd"), rr.FileSink("a.rrd"))
rr.set_sinks("a.rrd")
rr.flush(timeout_sec="x")
rr.flush(timeout_sec=-1.0)
rr.set_strict_mode()
rr.set_global_data_recording("x")
rr.set_thread_local_data_recording("x")
rr.get_recording_id("x")
rr.send_property("p", 5)
rr.send_recording_name(5)
rr.send_recording_name(chr(0xD800))
rr.send_property(chr(0xD800), rr.TextDocument("x"))
rr.log(chr(0xD800), rr.Scalars(1.0))
rr.set_time(chr(0xD800), sequence=1)
rr.send_recording_start_time_nanos("x")
rr.log_file_from_path("missing.png")
rr.log_file_from_contents("a.txt", 5)
rr.send_blueprint(5)
rr.recording_stream_generator_ctx(len)
rr.escape_entity_path_part(5)
rr.new_entity_path(5)
rr.no_such_name
""".strip().splitlines()


class Messages(logging.Handler):
    """Keeps the messages that arrive through `logging`."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def outcome(call: str, rr: Any) -> dict[str, Any]:
    """Make a call from a line of its own, and return its outcome."""
    import numpy as np

    messages = Messages()
    logging.getLogger().addHandler(messages)
    found: dict[str, Any] = {"raised": [], "message": ""}
    code = compile(call, f"<{call}>", "exec")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(code, {"rr": rr, "np": np})
        except Exception as error:  # noqa: BLE001 (any error is an outcome)
            found["raised"] = [one.__name__ for one in type(error).__mro__ if one is not object]
            found["message"] = str(error)
    logging.getLogger().removeHandler(messages)
    found["warned"] = [[one.category.__name__, str(one.message), one.filename == f"<{call}>"] for one in caught]
    found["said"] = messages.messages
    return found


def main() -> None:
    """Make every call."""
    rr = import_module(sys.argv[1])
    outcomes = {}
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        for call in CALLS:
            rr.init("rerun_example_misuses", recording_id="fixed", send_properties=False)
            rr.set_strict_mode("strict" in sys.argv)
            rr.save("run.rrd")
            outcomes[call] = outcome(call, rr)
            rr.reset_time()
        rr.init("rerun_example_end", recording_id="end", send_properties=False)
        rr.disconnect()
        os.chdir("/")
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
