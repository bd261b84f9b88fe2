"""Components are those that rerun lists, for every archetype and for objects that list their own."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

import pyarrow as pa
import pytest
import rerun as rr

from rerun_mp.encoding import archetypes
from rerun_mp.encoding.archetypes import components_of
from tests.parity.archetypes import ways

CALLS = [(name, call) for name, calls in ways(rr).items() for call in calls if "path" not in call]


def listed(given: Any) -> list[tuple[rr.ComponentDescriptor, pa.Array]]:
    descriptors: list[rr.ComponentDescriptor] = []
    arrays: list[pa.Array] = []
    components_of(given, descriptors, arrays)
    return list(zip(descriptors, arrays, strict=True))


def listed_by_rerun(batches: Any) -> list[tuple[rr.ComponentDescriptor, pa.Array]]:
    found = [(batch.component_descriptor(), batch.as_arrow_array()) for batch in batches]
    return [(descriptor, getattr(array, "storage", array)) for descriptor, array in found if array is not None]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_components_are_those_that_rerun_lists(name: str, call: dict[str, Any]) -> None:
    made = getattr(rr.archetypes, name)(**call)
    for _ in range(2):
        assert listed(made) == listed_by_rerun(made.as_component_batches())


def test_a_class_that_lists_its_components_itself_is_asked_each_time() -> None:
    class Growing(rr.AsComponents):
        calls = 0

        def as_component_batches(self) -> Any:
            self.calls += 1
            return rr.Points3D([[1, 2, 3]] * self.calls).as_component_batches()

    growing = Growing()
    assert [len(array) for _ in range(3) for _, array in listed(growing)] == [1, 2, 3]


def test_an_iterable_of_batches_is_taken_as_it_is() -> None:
    batches = [*rr.Scalars(1.0).as_component_batches(), *rr.TextLog("a").as_component_batches()]
    assert listed(batches) == listed(iter(batches)) == listed_by_rerun(batches)


@pytest.mark.parametrize("given", [5, None, rr.ComponentDescriptor("x")])
def test_anything_else_is_refused_with_its_type(given: object) -> None:
    with pytest.raises(TypeError, match=f"but got {type(given)}"):
        listed(given)


def test_the_memory_of_classes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archetypes, "MAX_CLASSES", 4)
    monkeypatch.setattr(archetypes, "_fields_of_classes", {})
    for number in range(20):
        derived = type(f"Derived{number}", (rr.Scalars,), {})
        assert len(listed(derived(1.0))) == 1
    assert 0 < len(archetypes._fields_of_classes) <= 4


class Interrupted:
    """Finds its attributes by Python code, in which a signal arrives when a chosen one is looked up."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Any:
        if name == self.__dict__["name"]:
            os.kill(os.getpid(), signal.SIGUSR1)
        raise AttributeError(name)


@pytest.mark.parametrize("name", ["_fast_kind", "as_component_batches"])
def test_an_error_of_a_signal_handler_is_no_missing_attribute(name: str) -> None:
    def handler(_number: int, _frame: FrameType | None) -> None:
        raise AttributeError("the handler's")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(AttributeError, match="the handler's"):
            listed(Interrupted(name))
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(TypeError, match=r"Expected an object implementing rerun\.AsComponents"):
        listed(Interrupted("another"))
