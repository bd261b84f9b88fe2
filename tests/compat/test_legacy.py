"""Names that rerun-sdk 0.12 to 0.22 had and has dropped since.

The tables come from comparing `dir(rerun)` of 0.12.1, 0.13.0, 0.14.1, 0.15.1, 0.16.1, 0.17.0, 0.18.2, 0.19.1, 0.20.3,
0.21.0 and 0.22.1 with that of 0.41; parameters are those of the last release that had the name.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections import Counter
from pathlib import Path

import pytest
import rerun as theirs

import rerun_mp as rr
from rerun_mp.compat import legacy
from tests.conftest import RunPython
from tests.harness.recordings import rows_of

PROGRAMS = Path(__file__).with_name("programs")

PARAMETERS = {
    "DisconnectedSpace": "is_disconnected",
    "ImageEncoded": "path contents format draw_order",
    "ImageFormat": "name",
    "Scalar": "scalar",
    "SeriesLine": "color width name aggregation_policy",
    "SeriesPoint": "color marker name marker_size",
    "TimeNanosColumn": "timeline times",
    "TimeSecondsColumn": "timeline times",
    "TimeSequenceColumn": "timeline times",
    "TimeSeriesScalar": "scalar radius color label scattered",
    "connect": "addr flush_timeout_sec default_blueprint recording",
    "connect_tcp": "addr flush_timeout_sec default_blueprint recording",
    "log_components": "entity_path components static recording strict",
    "new_recording": "application_id recording_id make_default make_thread_default spawn default_enabled",
    "serve": "open_browser web_port ws_port default_blueprint recording server_memory_limit",
    "serve_web": "open_browser web_port ws_port default_blueprint recording server_memory_limit",
    "set_time_nanos": "timeline nanos recording",
    "set_time_seconds": "timeline seconds recording",
    "set_time_sequence": "timeline sequence recording",
}
"""Callables, and the parameters of each."""
MODULES = {
    "datatypes": "Vec3D Quaternion Rgba32",
    "logging_handler": "LoggingHandler",
    "memory": "MemoryRecording memory_recording",
    "recording": "MemoryRecording",
    "script_helpers": "script_add_args script_setup script_teardown",
}
"""Modules, and public names of each."""
VALUES = ("BlueprintLike", "EXTERNAL_DATA_LOADER_INCOMPATIBLE_EXIT_CODE", "UUID")
ADVICE = {
    "IndicatorComponentBatch": "nothing needs them",
    "Material": "albedo_factor",
    "MeshProperties": "triangle_indices",
    "OutOfTreeTransform3D": "InstancePoses3D",
    "OutOfTreeTransform3DBatch": "InstancePoses3D",
    "TranslationAndMat3x3": "mat3x3",
    "TranslationRotationScale3D": "rotation",
    "color_conversion": "archetypes",
    "dataframe": "rerun_mp.server",
    "html_shared": "notebook_show",
    "legacy_notebook": "notebook_show",
    "remote": "rerun_mp.catalog",
}
"""Names without a replacement, and a word of the advice that the error gives."""
METHODS = (
    "connect", "connect_tcp", "log_components", "serve", "serve_web", "set_time_nanos", "set_time_seconds",
    "set_time_sequence",
)  # fmt: skip
"""Methods of `RecordingStream`."""


@pytest.fixture(autouse=True)
def _old_names(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve old names to this test and its programs."""
    monkeypatch.setenv("RERUN_MP_OLD_NAMES", "1")


@pytest.mark.parametrize("name", PARAMETERS)
def test_an_old_callable_takes_its_old_arguments(name: str) -> None:
    assert set(PARAMETERS[name].split()) <= set(inspect.signature(getattr(rr, name)).parameters)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_an_old_module_has_its_old_contents(name: str, run_python: RunPython) -> None:
    """Whichever way a program gets the module, and whatever it has imported before."""
    program = f"""
        import importlib, sys, types, warnings
        warnings.simplefilter("ignore")
        import rerun_mp as rr
        found = importlib.import_module("rerun_mp.{name}") if sys.argv[1] == "import" else rr.{name}
        assert isinstance(found, types.ModuleType)
        for name in {MODULES[name].split()}:
            thing = getattr(found, name)
            assert thing.__name__ == name and thing.__module__.startswith("rerun."), thing
    """
    run_python(program, "attribute").check()
    run_python(program, "import").check()


def test_a_memory_recording_is_found_in_the_module_that_documents_it() -> None:
    assert rr.recording.MemoryRecording is theirs.MemoryRecording  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", VALUES)
def test_an_old_constant_exists(name: str) -> None:
    assert getattr(rr, name) is not None


@pytest.mark.parametrize("name", ADVICE)
def test_a_name_without_a_replacement_says_what_to_do(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"rerun-sdk has dropped it; .*{ADVICE[name]}"):
        getattr(rr, name)
    assert not hasattr(rr, name)


@pytest.mark.parametrize("name", METHODS)
def test_an_old_method_takes_its_old_arguments(name: str) -> None:
    method = getattr(rr.RecordingStream.of_state(None), name)
    assert set(PARAMETERS[name].split()) <= set(inspect.signature(method).parameters)


@pytest.mark.parametrize("name", legacy.SUCCESSORS)
def test_an_old_name_is_missing_unless_the_user_asks_for_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert getattr(rr, name) is not None
    monkeypatch.delenv("RERUN_MP_OLD_NAMES")
    recording = rr.RecordingStream.of_state(None)
    for owner in (rr, recording) if name in METHODS else (rr,):
        with pytest.raises(AttributeError, match=r"rerun-sdk has dropped it; .*, or set RERUN_MP_OLD_NAMES=1"):
            getattr(owner, name)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"rerun_mp.{name}")


def test_a_method_that_never_was_is_refused() -> None:
    with pytest.raises(AttributeError, match="'RecordingStream' object has no attribute 'Scalar'"):
        _ = rr.RecordingStream.of_state(None).Scalar


def test_old_programs_log_the_rows_that_they_mean(run_python: RunPython, tmp_path: Path) -> None:
    """In a forked child, too. Each call warns at its own line and says what to write instead."""
    path = tmp_path / "run.rrd"
    run_python(
        PROGRAMS / "old_names.py",
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
    run_python(PROGRAMS / "old_viewers.py").check()


def test_a_dropped_name_warns_in_a_test_that_turns_warnings_into_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning, match="use set_time"):
            rr.set_time_sequence("frame", 1)  # type: ignore[attr-defined]
