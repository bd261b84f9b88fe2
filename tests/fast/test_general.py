"""The general fast classes: whatever is given, Arrow data, warnings and errors are those of rerun's classes."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rerun as theirs
from hypothesis import given, settings
from hypothesis import strategies as st

import rerun_mp as rr
from rerun_mp.encoding.archetypes import components_of
from rerun_mp.fast import catalogue
from rerun_mp.fast.catalogue import ARCHETYPES
from rerun_mp.fast.general import GENERAL_NAMES
from tests.fast.arguments import argument
from tests.fast.catalogue import text
from tests.fast.outcomes import assert_same, components, outcome
from tests.parity.archetypes import ways

NAMES = sorted(GENERAL_NAMES)
MANY = settings(max_examples=2 * settings().max_examples)
POINTS: list[tuple[Any, Any, int]] = [(rr.Points3D, theirs.Points3D, 3), (rr.Points2D, theirs.Points2D, 2)]


def test_the_catalogue_says_what_rerun_says() -> None:
    """If this fails, rerun-sdk has changed: `python -m tests.fast.catalogue > rerun_mp/fast/catalogue.py`."""
    assert Path(catalogue.__file__).read_text() == text() + "\n"


@st.composite
def calls(draw: Any) -> tuple[str, dict[str, Any]]:
    """Draw an archetype and the arguments of a call."""
    name = draw(st.sampled_from(NAMES))
    _, positional, keywords, _, needed, plain, _ = ARCHETYPES[name]
    component_of = {fact.partition("=")[0]: fact.rpartition(":")[2] for fact in plain.split()}
    chosen = draw(st.sets(st.sampled_from([*component_of]), max_size=4)) | set(needed.split())
    arguments = {parameter: draw(argument(component_of[parameter])) for parameter in sorted(chosen)}
    odd = sorted({*positional.split(), *keywords.split()} - {*component_of})
    if odd and draw(st.integers(0, 9)) == 0:
        arguments[draw(st.sampled_from(odd))] = draw(st.sampled_from([1, [1, 2], [[1, 2, 3]], "odd"]))
    if draw(st.integers(0, 19)) == 0:
        arguments["unknown"] = 1
    return name, arguments


@MANY
@given(calls())
@pytest.mark.filterwarnings("ignore")
def test_arrow_data_warnings_and_errors_equal_reruns(call: tuple[str, dict[str, Any]]) -> None:
    name, arguments = call
    for strict in (False, True):
        mine = outcome(lambda: getattr(rr, name)(**arguments), strict=strict)
        its = outcome(lambda: getattr(theirs, name)(**arguments), strict=strict)
        assert mine[:2] == its[:2]


@MANY
@given(calls())
@pytest.mark.filterwarnings("ignore")
def test_the_blocks_are_the_arrow_data(call: tuple[str, dict[str, Any]]) -> None:
    """What `log` takes without rerun equals what rerun's object has."""
    name, arguments = call
    with np.errstate(all="ignore"):
        try:
            made = getattr(rr, name)(**arguments)
        except Exception:  # noqa: BLE001 (the test above compares errors)
            return
        if made._fast_kind:
            assert_blocks_equal(made, getattr(theirs, name)(**arguments))


def assert_blocks_equal(made: Any, its: Any) -> None:
    """Assert that a fast archetype's blocks give the components of rerun's archetype."""
    descriptors: list[Any] = []
    arrays: list[Any] = []
    components_of(made, descriptors, arrays)
    assert made._fast_kind
    expected = {batch.component_descriptor(): batch.as_arrow_array() for batch in its.as_component_batches()}
    assert dict(zip(descriptors, arrays, strict=True)) == expected
    for array in arrays:
        array.validate(full=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_usual_calls_equal_reruns(name: str) -> None:
    for arguments in ways(theirs)[name]:
        made, its = getattr(rr, name)(**arguments), getattr(theirs, name)(**arguments)
        if made._fast_kind:
            assert_blocks_equal(made, its)
        assert components(made) == components(its)
        assert repr(made) == repr(its)


USUAL: list[tuple[str, dict[str, Any]]] = [
    ("Points3D", {"positions": np.zeros((2, 3)), "colors": np.zeros((2, 3), np.uint8), "radii": np.ones(2)}),
    ("Points3D", {"positions": [[1, 2, 3.5]], "colors": [[255, 0, 0]], "radii": [0.1], "labels": ["a"]}),
    (
        "Boxes3D",
        {"half_sizes": [[1, 2, 3]], "centers": [(1, 2, 3)], "quaternions": [[0, 0, 0, 1]], "fill_mode": "solid"},
    ),
    ("LineStrips3D", {"strips": [[[1, 2, 3], [4, 5, 6]], np.zeros((3, 3))]}),
    ("LineStrips2D", {"strips": np.zeros((2, 3, 2))}),
    ("Arrows3D", {"vectors": np.zeros((2, 3), np.float32), "origins": [[0.0, 0, 0]], "colors": 0xFF00FFFF}),
    ("Pinhole", {"image_from_camera": np.eye(3), "resolution": [640, 480]}),
    ("Mesh3D", {"vertex_positions": np.zeros((3, 3)), "triangle_indices": [[0, 1, 2]]}),
    ("GeoPoints", {"lat_lon": [[59.3, 18.1]], "radii": 10.0}),
    ("Clear", {"recursive": True}),
    ("TextDocument", {"text": "# ü", "media_type": "text/markdown"}),
    ("SeriesLines", {"colors": [255, 0, 0], "names": "loss", "widths": 2}),
    ("Boxes3D", {"half_sizes": [[1, 1, 1]], "rotation_axis_angles": theirs.RotationAxisAngle([0, 0, 1], degrees=45)}),
    ("VideoStream", {"codec": theirs.VideoCodec.H264, "sample": b"frame"}),
    ("Points3D", {"positions": [[1, 2, 3]], "colors": np.arange(3).reshape(1, 3)}),
    ("AnnotationContext", {"context": [(1, "one", (255, 0, 0)), (2, "zwölf"), (3, "c", 0xFF)]}),
    ("BarChart", {"values": np.arange(5.0), "color": [255, 0, 0]}),
    ("BarChart", {"values": [1, 2, 3], "abscissa": [0.5, 1, 2]}),
    ("Scalars", {"scalars": [0.5, 1.5]}),
    ("Scalars", {"scalars": np.arange(3)}),
    ("TextLog", {"text": "red", "color": [255, 0, 0]}),
    ("Transform3D", {"translation": [1, 2, 3], "child_frame": "hand", "parent_frame": "arm"}),
]


@pytest.mark.parametrize(("name", "arguments"), USUAL, ids=[name for name, _ in USUAL])
def test_usual_arguments_are_fast(name: str, arguments: dict[str, Any]) -> None:
    made = getattr(rr, name)(**arguments)
    assert made._fast_kind
    assert_blocks_equal(made, getattr(theirs, name)(**arguments))


@st.composite
def updates(draw: Any) -> tuple[str, dict[str, Any]]:
    """Draw an archetype and the arguments of `from_fields`."""
    name = draw(st.sampled_from(NAMES))
    parts = [fact.partition("=")[2].partition(":") for fact in ARCHETYPES[name][5].split()]
    component_of = {field: component for field, _, component in parts}
    chosen = draw(st.sets(st.sampled_from([*component_of]), max_size=3))
    fields = {field: draw(argument(component_of[field])) for field in sorted(chosen)}
    return name, fields | draw(st.sampled_from([{}, {"clear_unset": True}]))


@MANY
@given(updates())
@pytest.mark.filterwarnings("ignore")
def test_updates_equal_reruns(call: tuple[str, dict[str, Any]]) -> None:
    name, fields = call
    for strict in (False, True):
        mine = outcome(lambda: getattr(rr, name).from_fields(**fields), strict=strict)
        its = outcome(lambda: getattr(theirs, name).from_fields(**fields), strict=strict)
        assert mine[:2] == its[:2]


def test_usual_updates_are_fast() -> None:
    made: Any = rr.Points3D.from_fields(radii=[0.1, 0.2])
    assert made._fast_kind
    assert_blocks_equal(made, theirs.Points3D.from_fields(radii=[0.1, 0.2]))
    cleared: Any = rr.Arrows3D.from_fields(clear_unset=True, radii=0.5)
    assert cleared._fast_kind
    assert_blocks_equal(cleared, theirs.Arrows3D.from_fields(clear_unset=True, radii=0.5))


def test_special_classes_in_columns_are_copied_and_pickled() -> None:
    made: Any = rr.Scalars([0.5, 1.5])
    for again in (copy(made), deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert again._fast_kind
        assert isinstance(again, rr.Scalars)
        assert_blocks_equal(again, theirs.Scalars([0.5, 1.5]))
    assert made == theirs.Scalars([0.5, 1.5])
    assert repr(made) == repr(theirs.Scalars([0.5, 1.5]))


@pytest.mark.parametrize(("ours", "reruns", "dimensions"), POINTS, ids=["3D", "2D"])
def test_a_float32_array_is_kept_and_others_are_converted(ours: Any, reruns: Any, dimensions: int) -> None:
    block = np.ones((4, dimensions), np.float32)
    mine, its = ours(block), reruns(block)
    assert np.shares_memory(np.frombuffer(mine._blocks[0], np.float32), block)
    assert bytes(ours(block.astype(np.float64))._blocks[0]) == block.tobytes()
    block[:] = 7
    assert components(mine) == components(its)


@pytest.mark.parametrize(("ours", "reruns", "dimensions"), POINTS, ids=["3D", "2D"])
def test_wrong_calls_raise_as_in_rerun(ours: Any, reruns: Any, dimensions: int) -> None:
    assert_same(ours, reruns)
    assert_same(ours, reruns, np.zeros((1, dimensions)), 3)
    assert_same(ours, reruns, np.zeros((1, dimensions)), 3, radii=2)
    assert_same(ours, reruns, 3, positions=4)


def test_positions_beyond_float32_warn_as_in_rerun() -> None:
    assert_same(rr.Points3D, theirs.Points3D, np.full((1, 3), 1e300))
