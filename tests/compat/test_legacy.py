"""Names that rerun-sdk 0.12 to 0.22 had and has not any more.

`GONE` was made by comparing `dir(rerun)` of 0.12.1, 0.13.0, 0.14.1, 0.15.1, 0.16.1, 0.17.0, 0.18.2, 0.19.1, 0.20.3,
0.21.0 and 0.22.1, each in an environment of its own, with that of 0.41; parameters are those of the last that had it.
"""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from pathlib import Path

import pytest

import rerun_mp as rr
from rerun_mp.compat import legacy
from tests.conftest import RunPython
from tests.harness.recordings import rows_of

GONE = {
    "BlueprintLike": None,
    "DisconnectedSpace": "is_disconnected",
    "EXTERNAL_DATA_LOADER_INCOMPATIBLE_EXIT_CODE": None,
    "ImageEncoded": "path contents format draw_order",
    "ImageFormat": "name",
    "IndicatorComponentBatch": None,
    "Material": None,
    "MeshProperties": None,
    "OutOfTreeTransform3D": None,
    "OutOfTreeTransform3DBatch": None,
    "Scalar": "scalar",
    "SeriesLine": "color width name aggregation_policy",
    "SeriesPoint": "color marker name marker_size",
    "TimeNanosColumn": "timeline times",
    "TimeSecondsColumn": "timeline times",
    "TimeSequenceColumn": "timeline times",
    "TimeSeriesScalar": "scalar radius color label scattered",
    "TranslationAndMat3x3": None,
    "TranslationRotationScale3D": None,
    "UUID": None,
    "color_conversion": None,
    "connect": "addr flush_timeout_sec default_blueprint recording",
    "connect_tcp": "addr flush_timeout_sec default_blueprint recording",
    "dataframe": None,
    "datatypes": None,
    "html_shared": None,
    "legacy_notebook": None,
    "log_components": "entity_path components static recording strict",
    "logging_handler": None,
    "memory": None,
    "new_recording": "application_id recording_id make_default make_thread_default spawn default_enabled",
    "recording": None,
    "remote": None,
    "script_helpers": None,
    "serve": "open_browser web_port ws_port default_blueprint recording server_memory_limit",
    "serve_web": "open_browser web_port ws_port default_blueprint recording server_memory_limit",
    "set_time_nanos": "timeline nanos recording",
    "set_time_seconds": "timeline seconds recording",
    "set_time_sequence": "timeline sequence recording",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", GONE)
def test_every_name_is_served_or_says_what_to_do(name: str) -> None:
    if name in legacy.ADVICE:
        with pytest.raises(AttributeError, match="rerun-sdk has dropped it; "):
            getattr(rr, name)
        assert not hasattr(rr, name)
        return
    found = getattr(rr, name)
    parameters = GONE[name]
    if parameters is not None:
        missing = set(parameters.split()) - set(inspect.signature(found).parameters)
        assert not missing, f"{name} does not take {missing}"


@pytest.mark.parametrize("name", legacy.METHODS)
def test_methods_are_methods(name: str) -> None:
    recording = rr.RecordingStream.of_state(None)
    assert callable(getattr(recording, name))


def test_old_programs_log_what_they_meant(run_python: RunPython, tmp_path: Path) -> None:
    """In a forked child too; each call says at its own line what to write instead."""
    path = tmp_path / "run.rrd"
    run_python(
        """
        import os, sys, warnings
        import rerun_mp as rr
        warnings.simplefilter("always")
        with warnings.catch_warnings(record=True) as caught:
            rr.init("old", None, False, True, True, False, False, True)
            rr.save(sys.argv[1])
            rr.set_time_sequence("frame", 7)
            rr.log("scalar", rr.Scalar(1.5))
            rr.set_time_seconds("stamp", 2.5)
            rr.set_time_nanos("nanos", 3)
            rr.log("series", rr.TimeSeriesScalar(2.5, label="name", color=[255, 0, 0]))
            rr.reset_time()
            if os.fork() == 0:
                rr.set_time_sequence("child", 1)
                rr.log_components("child", [rr.components.Position3DBatch([[1, 2, 3]])])
                os._exit(0)
            os.wait()
            rr.log_components("static", rr.Points3D([[1, 2, 3]]).as_component_batches(), timeless=True)
            rr.log("line", rr.SeriesLine(width=2.0, name="line"), static=True)
            rr.log("point", rr.SeriesPoint(marker="circle", marker_size=3.0), static=True)
            rr.log("nowhere", rr.DisconnectedSpace())
            rr.log("raw", rr.ImageEncoded(contents=bytes(24), format=rr.ImageFormat.NV12((4, 4))))
            rr.log("png", rr.ImageEncoded(contents=b"png", format=rr.ImageFormat.PNG))
            rr.send_columns("columns", [rr.TimeSequenceColumn("step", [1, 2])], rr.Scalar.columns(scalar=[1.0, 2.0]))
            rr.send_columns("seconds", [rr.TimeSecondsColumn("stamp", [1.5])], rr.Scalars.columns(scalars=[1.0]))
            rr.send_columns("nanos", [rr.TimeNanosColumn("stamp", [5])], rr.Scalars.columns(scalars=[1.0]))
            recording = rr.get_global_data_recording()
            recording.set_time_sequence("method", 3)
            recording.log_components("method", rr.Scalars(1.0).as_component_batches())
            rr.datatypes.Vec3D
        # Python's own, from 3.12 on, of rerun-sdk's threads.
        caught = [one for one in caught if "use of fork()" not in str(one.message)]
        assert all(one.category is DeprecationWarning for one in caught), [str(one.message) for one in caught]
        assert {one.filename for one in caught} == {__file__}
        print(*[str(one.message) for one in caught], sep=chr(10), file=sys.stderr)
        assert len(caught) == 18
        """,
        path,
    ).check()
    rows = rows_of(path)
    assert Counter(row.entity_path for row in rows) == {
        **dict.fromkeys(("scalar", "series", "child", "static", "line", "point", "nowhere", "raw", "png"), 1),
        "columns": 2,
        "seconds": 1,
        "nanos": 1,
        "method": 1,
    }
    times = {row.entity_path: {k: v for k, v in row.times.items() if k != "log_time"} for row in rows}
    assert times["scalar"] == {"frame": 7}
    assert times["series"] == {"frame": 7, "stamp": 2_500_000_000, "nanos": 3}
    assert times["child"] == {"child": 1}
    assert times["static"] == {}
    assert (times["seconds"], times["nanos"]) == ({"stamp": 1_500_000_000}, {"stamp": 5})
    assert times["method"] == {"method": 3}


def test_old_ways_to_a_viewer_lead_there(run_python: RunPython) -> None:
    run_python(
        """
        import os, urllib.request, warnings
        import rerun
        import rerun_mp as rr
        from tests.harness.servers import follower
        from pathlib import Path
        from tests.harness.programs import wait_until
        from tests.harness.viewers import free_port
        warnings.simplefilter("ignore")
        rr.init("old", send_properties=False)
        rr.log("before", rr.Scalars(1.0))
        web, port = free_port(), free_port()
        rr.serve(open_browser=False, web_port=web, ws_port=port)
        assert urllib.request.urlopen(f"http://127.0.0.1:{web}").status == 200
        with follower(f"rerun+http://127.0.0.1:{port}/proxy", Path("served.rrd").absolute()) as rows:
            wait_until(lambda: rows() == {"before": 1}, timeout_secs=30.0, what="what was served")
        os.unlink("served.rrd")
        rr.connect(f"127.0.0.1:{port}")
        (sink,) = rr.get_data_recording().state.sinks
        assert (sink.kind, sink.target) == ("grpc", f"rerun+http://127.0.0.1:{port}/proxy")
        """
    ).check()


def test_a_dropped_name_warns_in_a_test_that_turns_warnings_into_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning, match="use set_time"):
            rr.set_time_sequence("frame", 1)  # type: ignore[attr-defined]
