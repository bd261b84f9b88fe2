"""`AnyValues` and `DynamicArchetype`: data, registered types, warnings and errors are those of rerun's classes."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rerun as theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from rerun import any_batch_value

import rerun_mp as rr
from tests.fast.arguments import ODD, arrays
from tests.fast.outcomes import assert_same, outcome
from tests.fast.test_general import assert_blocks_equal

SINGLE: Any = st.integers(-3, 2**63) | st.floats() | st.text(max_size=3) | st.booleans()
LISTS: Any = st.lists(SINGLE, max_size=3) | st.lists(st.integers(0, 9), max_size=3)
VALUES = SINGLE | LISTS | arrays((3,), (0,), (2, 2)) | ODD
NAMES = st.sampled_from(["a", "b", "c", "drop_untyped_nones", "archetype"])
USUAL = {"a": 1, "b": 1.5, "c": "ü", "d": True, "e": [1, 2], "f": ["x", ""], "g": np.zeros(3, np.uint8), "h": (0.5,)}

has_registry = pytest.mark.skipif(
    not hasattr(any_batch_value.ANY_VALUE_TYPE_REGISTRY, "_entries"), reason="this release has another registry"
)


def types() -> dict[Any, Any]:
    """Return the types that rerun has registered."""
    registry: Any = any_batch_value.ANY_VALUE_TYPE_REGISTRY
    return dict(getattr(registry, "_entries", registry))


def forget(kept: dict[Any, Any]) -> None:
    """Put rerun's registry back."""
    registry: Any = any_batch_value.ANY_VALUE_TYPE_REGISTRY
    entries = getattr(registry, "_entries", registry)
    entries.clear()
    entries.update(kept)


@settings(max_examples=25)
@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=3))
@pytest.mark.filterwarnings("ignore")
def test_calls_equal_reruns_and_register_the_same_types(calls: list[dict[str, Any]]) -> None:
    kept = types()
    ways: list[Any] = [
        lambda package, values: package.AnyValues(**values),
        lambda package, values: package.DynamicArchetype("My", components=values),
    ]
    try:
        for strict in (False, True):
            for way in ways:
                found = []
                for package in (rr, theirs):
                    forget(kept)
                    results = [outcome(lambda: way(package, values), strict=strict)[:2] for values in calls]  # noqa: B023
                    found.append((results, types()))
                assert found[0] == found[1]
    finally:
        forget(kept)


@has_registry
def test_values_of_registered_types_are_fast() -> None:
    ways: list[Any] = [
        lambda package: package.AnyValues(**USUAL),
        lambda package: package.DynamicArchetype("My", components=USUAL),
    ]
    for way in ways:
        way(theirs)
        made = way(rr)
        assert made._fast_kind
        assert_blocks_equal(made, way(theirs))
        again = pickle.loads(pickle.dumps(made))
        assert_blocks_equal(again, way(theirs))


@has_registry
def test_a_value_of_another_type_is_left_to_rerun() -> None:
    theirs.AnyValues(kind_of_number=1.5)
    assert rr.AnyValues(kind_of_number=2.5)._fast_kind  # type: ignore[attr-defined]
    with pytest.warns(theirs.error_utils.RerunWarning, match="changed"):
        made: Any = rr.AnyValues(kind_of_number=3)
    assert not made._fast_kind
    assert made.as_component_batches()[0].as_arrow_array().to_pylist() == [3.0]


def test_they_stand_for_reruns_classes() -> None:
    made = rr.AnyValues(one=1)
    assert isinstance(made, theirs.AnyValues)
    assert isinstance(theirs.AnyValues(one=1), rr.AnyValues)
    assert len({made, rr.AnyValues(one=1)}) == 2
    assert made.with_component_from_data("two", 2) is not None

    class Mine(rr.AnyValues):
        """A program's own class."""

    assert isinstance(Mine(one=1), theirs.AnyValues)
    assert_same(rr.DynamicArchetype, theirs.DynamicArchetype)


@has_registry
def test_values_made_in_the_middle_of_an_import_go_to_rerun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler finds a module of which only a part has run."""
    rr.AnyValues(made_amid_an_import=1)
    part = ModuleType("rerun_mp.encoding.component_arrays")
    monkeypatch.setitem(sys.modules, part.__name__, part)
    assert not rr.AnyValues(made_amid_an_import=2)._fast_kind  # type: ignore[attr-defined]
    monkeypatch.undo()
    assert rr.AnyValues(made_amid_an_import=3)._fast_kind  # type: ignore[attr-defined]
