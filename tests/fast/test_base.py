"""A fast archetype behaves as rerun's in every use, and stops being fast when a use could change it."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
import pydoc
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import rerun as theirs
from rerun.archetypes import Scalars as TheirScalars

import rerun_mp as rr
from rerun_mp.encoding.encoder import Encoder
from rerun_mp.fast import FastArchetype
from rerun_mp.fast.general import GENERAL
from tests.conftest import RunPython
from tests.fast.outcomes import components

FRAME = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
ARGUMENTS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "Scalars": ((0.5,), {}),
    "TextLog": (("größer",), {"level": "INFO"}),
    "Points3D": ((np.arange(9, dtype=np.float32).reshape(3, 3),), {}),
    "Points2D": ((np.arange(8, dtype=np.float64).reshape(4, 2),), {}),
    "Boxes3D": ((), {"half_sizes": [[1, 2, 3.5]], "labels": ["größer"], "fill_mode": "solid"}),
    "Transform3D": ((), {"translation": [1, 2, 3], "mat3x3": np.arange(9.0), "relation": "ChildFromParent"}),
    "Image": ((FRAME,), {"color_model": "BGR"}),
    "DepthImage": ((FRAME[..., 1],), {"meter": 1000}),
    "SegmentationImage": ((FRAME[..., 0],), {}),
    "EncodedImage": ((), {"contents": b"contents", "media_type": "image/png"}),
    "Tensor": ((FRAME.astype(np.float16),), {"dim_names": ["y", "x", "c"]}),
}
OWN: dict[str, Any] = {name: getattr(rr, name) for name in ARGUMENTS}
THEIRS: dict[str, Any] = {name: getattr(theirs, name) for name in ARGUMENTS}

each = pytest.mark.parametrize("name", ARGUMENTS)


def fast(name: str) -> Any:
    args, kwargs = ARGUMENTS[name]
    made = OWN[name](*args, **kwargs)
    assert made._fast_kind == OWN[name]._fast_kind > 0
    return made


def reruns(name: str) -> Any:
    args, kwargs = ARGUMENTS[name]
    return THEIRS[name](*args, **kwargs)


def test_each_special_class_has_a_number_of_its_own() -> None:
    special = [cls for cls in OWN.values() if cls._fast_kind != GENERAL]
    assert len({cls._fast_kind for cls in special}) == len(special)
    assert {cls for cls in FastArchetype.__subclasses__() if cls._fast_kind not in (0, GENERAL)} == {*special}


@each
def test_fields_are_named_as_in_rerun(name: str) -> None:
    """Releases of rerun-sdk before 0.34 have no `point_shading`, which their class refuses."""
    fields = tuple(field.name for field in attrs.fields(THEIRS[name]))
    assert tuple(field for field in OWN[name]._fields if field in fields) == fields
    assert {*OWN[name]._fields} - {*fields} <= {"point_shading"}


@each
def test_isinstance_and_issubclass_hold_in_both_directions(name: str) -> None:
    ours, its = OWN[name], THEIRS[name]
    materialised = fast(name)
    repr(materialised)
    for instance in (fast(name), reruns(name), materialised):
        assert isinstance(instance, ours)
        assert isinstance(instance, its)
        assert isinstance(instance, theirs.AsComponents)
        assert not any(isinstance(instance, cls) for other, cls in OWN.items() if other != name)
        assert not any(isinstance(instance, cls) for other, cls in THEIRS.items() if other != name)
    assert issubclass(ours, its)
    assert issubclass(its, ours)
    assert issubclass(type(materialised), its)
    for stranger in (1, "text", object, ours):
        assert not isinstance(stranger, ours)
        assert not isinstance(stranger, its)
    assert not issubclass(int, ours)
    assert not issubclass(int, its)


@each
def test_repr_str_and_equality_are_as_in_rerun(name: str) -> None:
    assert repr(fast(name)) == repr(reruns(name))
    assert str(fast(name)) == f"{reruns(name)}"
    assert fast(name) == fast(name)
    assert fast(name) == reruns(name)
    assert reruns(name) == fast(name)
    assert not fast(name).__ne__(reruns(name))
    assert fast(name) != THEIRS[name].cleared()
    assert THEIRS[name].cleared() != fast(name)
    assert fast(name) != 3
    assert fast(name) != fast("TextLog" if name == "Scalars" else "Scalars")
    with pytest.raises(TypeError, match=f"unhashable type: '{name}'"):
        hash(fast(name))


@each
def test_copies_and_pickles_are_fast_and_equal(name: str) -> None:
    copies: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy]
    copies += [
        lambda made, protocol=protocol: pickle.loads(pickle.dumps(made, protocol))  # type: ignore[misc]
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ]
    for duplicate in copies:
        made = duplicate(fast(name))
        assert type(made) is OWN[name]
        assert made == reruns(name)
        assert components(made) == components(reruns(name))
        assert not made._fast_kind  # `components` has materialised it
        assert components(duplicate(made)) == components(duplicate(reruns(name)))


def describe(archetypes: dict[str, Any]) -> dict[str, Any]:
    """Return each archetype, whether it is an instance of its class in this process, and its repr."""
    return {
        name: (made, isinstance(made, getattr(rr, name)), repr(copy.copy(made))) for name, made in archetypes.items()
    }


def test_archetypes_can_be_sent_to_a_spawned_process_and_back() -> None:
    given = {name: fast(name) for name in ARGUMENTS}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        came_back = pool.apply(describe, (given,))
        pool.close()
        pool.join()
    for name, (made, is_instance, text) in came_back.items():
        assert made == reruns(name)
        assert is_instance
        assert text == repr(reruns(name))


@each
def test_reading_a_field_materialises_the_archetype(name: str) -> None:
    made, field = fast(name), OWN[name]._fields[0]
    assert getattr(made, field) == getattr(reruns(name), field)
    assert made._fast_kind == 0
    assert isinstance(made, OWN[name])
    expected = reruns(name)
    setattr(expected, field, None)
    setattr(made, field, None)
    assert made == expected
    assert components(made) == components(expected)


@each
def test_a_field_can_be_set_and_deleted_without_being_read(name: str) -> None:
    field = OWN[name]._fields[-1]
    made = fast(name)
    setattr(made, field, None)
    assert made._fast_kind == 0
    delattr(made, field)
    with pytest.raises(AttributeError):
        getattr(made, field)


@each
def test_attributes_of_reruns_class_are_available(name: str) -> None:
    ours, its = OWN[name], THEIRS[name]
    assert ours.NAME == its.NAME
    assert ours.archetype() == its.archetype()
    assert ours.cleared() == its.cleared()
    assert ours.from_fields() == its.from_fields()
    assert type(ours.from_fields()) is its
    assert len(ours.columns()) == 0
    assert fast(name).archetype() == its.archetype()
    assert set(dir(its)) <= set(dir(ours))
    assert set(dir(reruns(name))) <= set(dir(fast(name)))
    with pytest.raises(AttributeError, match=f"'{name}' object has no attribute 'nothing'"):
        _ = fast(name).nothing
    with pytest.raises(AttributeError, match=f"type object '{name}' has no attribute 'nothing'"):
        _ = ours.nothing


@each
def test_classes_have_the_names_docstrings_and_signatures_of_reruns(name: str) -> None:
    ours, its = OWN[name], THEIRS[name]
    assert (ours.__name__, ours.__qualname__) == (its.__name__, its.__qualname__)
    assert ours.__doc__.startswith(its.__doc__)
    assert inspect.signature(ours) == inspect.signature(its)
    assert ours.__init__ is its.__init__
    assert its.__doc__.strip().splitlines()[0] in pydoc.render_doc(ours)
    assert pickle.loads(pickle.dumps(ours)) is ours


def test_columns_equal_reruns() -> None:
    ours, its = (list(cls.columns(scalars=[1.0, 2.0])) for cls in (rr.Scalars, TheirScalars))
    assert [column.as_arrow_array() for column in ours] == [column.as_arrow_array() for column in its]


def test_a_users_subclass_is_a_subclass_of_reruns_class() -> None:
    class Mixin(ABC):
        """An abstract class, which rerun's classes can be combined with."""

        @abstractmethod
        def __init__(self, value: float) -> None: ...

    class Loss(rr.Scalars, Mixin):
        """Calls its base through `super()`."""

        def __init__(self, value: float) -> None:
            super().__init__(value)

    class Accuracy(rr.Scalars):
        """Calls its base by name."""

        def __init__(self, value: float) -> None:
            rr.Scalars.__init__(self, value)

    for cls in (Loss, Accuracy):
        assert TheirScalars in cls.__mro__
        made = cls(0.5)
        assert isinstance(made, rr.Scalars)
        assert made.scalars == theirs.Scalars(0.5).scalars
        assert not hasattr(made, "_fast_kind")
    assert not isinstance(rr.Scalars(0.5), Loss)


@each
def test_an_object_can_be_initialised_again_or_without_its_constructor(name: str) -> None:
    args, kwargs = ARGUMENTS[name]
    made = fast(name)
    made.__init__(*args, **kwargs)
    assert made._fast_kind
    repr(made)
    made.__init__(*args, **kwargs)
    assert made == reruns(name)
    assert type(made)(*args, **kwargs) == reruns(name)
    assert attrs.fields(type(made)) == attrs.fields(THEIRS[name])
    blank = OWN[name].__new__(OWN[name])
    blank.__attrs_clear__()
    assert blank == THEIRS[name]._clear()


def test_positional_patterns_match() -> None:
    match rr.Scalars(0.5):
        case TheirScalars(scalars=value):
            assert len(value) == 1  # type: ignore[arg-type]
        case _:
            pytest.fail("the pattern must match")


def test_other_attributes_can_be_set_as_in_rerun() -> None:
    made: Any = rr.Scalars(0.5)
    made.remark = "mine"
    assert made.remark == "mine"
    assert made._fast_kind


@each
def test_threads_that_materialise_at_the_same_time_get_one_object(name: str) -> None:
    for _ in range(20):
        made, barrier = fast(name), threading.Barrier(4)
        found: list[int] = []

        def touch(made: Any = made, barrier: Any = barrier, found: list[int] = found) -> None:
            barrier.wait()
            found.append(id(made._materialise()))

        threads = [threading.Thread(target=touch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1


@each
def test_the_encoder_makes_the_same_arrays_as_for_reruns_object(name: str) -> None:
    ours, its = Encoder.components(fast(name)), Encoder.components(reruns(name))
    assert dict(zip(*ours, strict=True)) == dict(zip(*its, strict=True))


def test_making_and_pickling_archetypes_loads_neither_rerun_nor_pyarrow(run_python: RunPython) -> None:
    program = Path(__file__).with_name("programs") / "light.py"
    assert run_python(program, fresh=True).check().stdout.strip() == "[]"
