"""The arguments of `send_columns` are those that rerun makes, and rerun is not loaded for the usual ones."""

from __future__ import annotations

import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rerun

import rerun_mp as rr
from rerun_mp.fast import columns
from tests.conftest import RunPython

FLOATS = np.arange(12, dtype=np.float32)
USUAL: list[tuple[str, dict[str, Any]]] = [
    ("Scalars", {"scalars": np.arange(4)}),
    ("Scalars", {"scalars": FLOATS.reshape(4, 3)}),
    ("Scalars", {"scalars": [0.5, 1.5]}),
    ("Points3D", {"positions": FLOATS.reshape(4, 3), "radii": [1.0, 2.0, 3.0, 4.0], "labels": list("abcd")}),
    ("Points2D", {"positions": FLOATS.reshape(6, 2), "colors": np.arange(6, dtype=np.uint32)}),
    ("Boxes3D", {"half_sizes": FLOATS.reshape(4, 3), "centers": FLOATS.reshape(4, 3)}),
    ("SeriesLines", {"widths": [1.0, 2.0], "names": ["a", "b"]}),
    ("TextDocument", {"text": ["a", "b"], "media_type": ["text/markdown", "text/plain"]}),
    ("LineStrips3D", {"strips": [FLOATS.reshape(4, 3), FLOATS.reshape(4, 3)]}),
]
UNUSUAL: list[tuple[str, dict[str, Any]]] = [
    ("Points3D", {"positions": FLOATS.reshape(2, 2, 3)}),
    ("Points3D", {"positions": FLOATS.reshape(4, 3), "colors": np.zeros((4, 3), np.uint8)}),
    ("Scalars", {"scalars": FLOATS.reshape(1, 4, 3)}),
    ("Scalars", {"scalars": []}),
    ("Points3D", {}),
]


@pytest.mark.parametrize(
    ("name", "fields", "is_usual"), [(*case, cases is USUAL) for cases in (USUAL, UNUSUAL) for case in cases]
)
def test_the_columns_are_those_of_rerun(name: str, fields: dict[str, Any], is_usual: bool) -> None:
    ours, theirs = getattr(rr, name).columns(**fields), getattr(rerun, name).columns(**fields)
    assert isinstance(ours, columns._ColumnList) == is_usual
    assert len(ours) == len(theirs)
    assert _described(ours) == _described(theirs)


def test_columns_can_be_divided_into_other_rows() -> None:
    fields: dict[str, Any] = {"positions": FLOATS.reshape(4, 3), "radii": [1.0, 2.0, 3.0, 4.0]}
    ours, theirs = rr.Points3D.columns(**fields), rerun.Points3D.columns(**fields)
    assert _described(ours.partition([1, 3])) == _described(theirs.partition([1, 3]))
    assert _described([next(iter(ours)).partition([4])]) == _described([next(iter(theirs)).partition([4])])


def test_a_wrong_field_is_reruns_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'radius'"):
        rr.Points3D.columns(radius=[1.0])  # type: ignore[call-arg]


SECONDS = np.array([0.25, -1.5, 1e6])


@pytest.mark.parametrize(
    "times",
    [
        {"sequence": range(5)},
        {"sequence": [3, -1]},
        {"sequence": np.arange(10)[::2]},
        {"sequence": np.arange(3, dtype=np.int32)},
        {"sequence": [1.0, 2.0]},
        {"duration": SECONDS},
        {"duration": SECONDS.astype(np.float32)},
        {"duration": np.arange(3)},
        {"duration": SECONDS.astype("timedelta64[s]")},
        {"duration": [timedelta(seconds=1)]},
        {"timestamp": SECONDS},
        {"timestamp": np.array(["2020-01-01", "NaT"], "datetime64[D]")},
        {"timestamp": np.array(["2020-01-01"], "datetime64[D]")},
        {"timestamp": [1.5]},
    ],
)
def test_times_are_those_of_rerun(times: dict[str, Any]) -> None:
    ours, theirs = rr.TimeColumn("time", **times), rerun.TimeColumn("time", **times)
    assert ours.timeline_name() == ours.timeline == "time"
    assert ours.as_arrow_array().equals(theirs.as_arrow_array())
    assert ours.times.type == theirs.times.type
    assert pickle.loads(pickle.dumps(ours)).times.equals(theirs.times)


@pytest.mark.parametrize("times", [{}, {"sequence": [1], "duration": [1.0]}, {"sequence": None}])
def test_one_kind_of_times_is_needed(times: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Exactly one"):
        rr.TimeColumn("time", **times)


def test_a_time_column_stands_for_that_of_rerun() -> None:
    ours, theirs = rr.TimeColumn("time", sequence=[1]), rerun.TimeColumn("time", sequence=[1])
    assert isinstance(ours, rerun.TimeColumn)
    assert isinstance(theirs, rr.TimeColumn)
    assert not isinstance([1], rr.TimeColumn)

    class Frames(rr.TimeColumn):
        pass

    assert issubclass(Frames, rerun.TimeColumn)
    assert isinstance(Frames("time", sequence=[1]), rr.TimeColumn)


def test_usual_columns_load_neither_rerun_nor_pandas(run_python: RunPython, tmp_path: Path) -> None:
    program = f"""
        import sys
        import numpy as np
        import rerun_mp as rr

        rr.init("columns")
        rr.save({str(tmp_path / "out.rrd")!r})
        times = [rr.TimeColumn("frame", sequence=np.arange(3)), rr.TimeColumn("time", duration=np.arange(3.0))]
        rr.send_columns("loss", times, [*rr.Scalars.columns(scalars=np.zeros((3, 2)))])
        rr.send_columns("style", times, rr.SeriesLines.columns(widths=[1.0, 2.0, 3.0]))
        rr.log("number", rr.Scalars(0.5))
        rr.log("text", rr.TextLog("an event", level="INFO"))
        rr.log("pose", rr.Transform3D(translation=[1.0, 2.0, 3.0]))
        print(sorted({{"rerun", "pandas", "numpy.ma"}} & set(sys.modules)))
    """
    assert run_python(program, fresh=True).check().stdout.strip() == "[]"


def _described(columns: Any) -> list[Any]:
    return [(str(column.component_descriptor()), column.as_arrow_array()) for column in columns]
