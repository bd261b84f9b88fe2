"""Values such as `rr.Quaternion` behave as rerun's, and archetypes that hold them have the bytes of rerun's."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
import rerun as theirs

import rerun_mp as rr
from tests.fast.outcomes import components

VALUES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "MediaType": (("text/größer",), {}),
    "Quaternion": ((), {"xyzw": [0, 0.5, np.pi, 1]}),
    "RotationAxisAngle": (([0, 0, 1.1],), {"degrees": 33}),
}
OWN: dict[str, Any] = {name: getattr(rr, name) for name in VALUES}
THEIRS: dict[str, Any] = {name: getattr(theirs, name) for name in VALUES}
ARRAYS = [np.arange(4, dtype=dtype)[:n] / 3 for dtype in ("f4", "f8", "f2") for n in (3, 4)]
VECTORS = [[1, 2, 3], (0.1, 0.2, 0.3, 0.4), [1e300] * 3, [2**80] * 4, [True] * 3, ["1"] * 4, [], None, "no", *ARRAYS]
ARGUMENTS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "MediaType": [(("a/b",), {}), ((3,), {}), ((), {}), ((), {"value": "a/b"}), ((), {"other": 1})],
    "Quaternion": [*(((), {"xyzw": vector}) for vector in VECTORS), ((), {}), (([0, 0, 0, 1],), {})],
    "RotationAxisAngle": [
        *(((vector,), {"radians": 0.5}) for vector in VECTORS),
        *((([0, 0, 1],), {"degrees": given}) for given in (1, 0.5, np.float64(1), np.float32(1), True, "1", 1e300)),
        (([0, 0, 1], 0.5), {}),
        (([0, 0, 1],), {}),
        (([0, 0, 1],), {"radians": 1, "degrees": 2}),
        ((), {"radians": 1}),
    ],
}
CONSTANTS = ("GLB", "GLTF", "JPEG", "MARKDOWN", "MP4", "OBJ", "PNG", "STL", "TEXT")

each = pytest.mark.parametrize("name", VALUES)


def made(classes: dict[str, Any], name: str) -> Any:
    args, kwargs = VALUES[name]
    return classes[name](*args, **kwargs)


def same(ours: Any, its: Any) -> bool:
    return repr(ours) == repr(its)


@each
def test_isinstance_and_issubclass_hold_in_both_directions(name: str) -> None:
    materialised = made(OWN, name)
    repr(materialised)
    for instance in (made(OWN, name), made(THEIRS, name), materialised):
        assert isinstance(instance, OWN[name])
        assert isinstance(instance, THEIRS[name])
        assert not any(isinstance(instance, cls) for other, cls in THEIRS.items() if other != name)
        assert not isinstance(instance, theirs.AsComponents)
    assert issubclass(THEIRS[name], OWN[name])
    assert not isinstance(1, OWN[name])


@each
def test_a_users_subclass_is_one_of_reruns_class(name: str) -> None:
    derived = type("Derived", (OWN[name],), {})
    assert issubclass(derived, THEIRS[name])
    args, kwargs = VALUES[name]
    assert isinstance(derived(*args, **kwargs), OWN[name])


@each
def test_each_use_is_as_of_reruns_object(name: str) -> None:
    its = made(THEIRS, name)
    uses: list[Callable[[Any], Any]] = [repr, str, copy.copy, copy.deepcopy, dir, attrs.asdict]
    uses += [lambda value: pickle.loads(pickle.dumps(value))]
    for use in uses:
        assert same(use(made(OWN, name)), use(its))
    if name == "Quaternion":
        assert np.array_equal(np.asarray(made(OWN, name)), np.asarray(its))
        assert len(made(OWN, name)) == len(its)
    if name == "MediaType":
        assert made(OWN, name) == its
        assert its == made(OWN, name)
        assert hash(made(OWN, name)) == hash(its)


@each
def test_each_argument_has_reruns_value_or_error(name: str) -> None:
    for args, kwargs in ARGUMENTS[name]:
        outcomes = []
        for cls in (OWN[name], THEIRS[name]):
            with np.errstate(all="ignore"):
                try:
                    outcomes.append(repr(cls(*args, **kwargs)))
                except Exception as error:  # noqa: BLE001 (any error must be the same)
                    outcomes.append(f"{type(error).__name__}: {error}")
        assert outcomes[0] == outcomes[1], (args, kwargs)


def test_the_constants_are_reruns() -> None:
    for constant in CONSTANTS:
        assert getattr(rr.MediaType, constant) == getattr(theirs.MediaType, constant)


def test_archetypes_take_them_as_reruns_values_and_stay_fast() -> None:
    changed = made(OWN, "RotationAxisAngle")
    changed.angle = theirs.Angle(rad=0.25)
    its = made(THEIRS, "RotationAxisAngle")
    its.angle = theirs.Angle(rad=0.25)
    shown = rr.MediaType("a/b")
    str(shown)
    pairs: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("Transform3D", {"rotation": changed}, {"rotation": its}),
        ("TextDocument", {"text": "x", "media_type": shown}, {"text": "x", "media_type": theirs.MediaType("a/b")}),
        *(
            (archetype, {"text": "x"} | {key: made(OWN, name)}, {"text": "x"} | {key: made(THEIRS, name)})
            for archetype, key, name in (
                ("TextDocument", "media_type", "MediaType"),
                ("Transform3D", "rotation", "Quaternion"),
                ("Transform3D", "quaternion", "Quaternion"),
                ("Transform3D", "rotation", "RotationAxisAngle"),
                ("Transform3D", "rotation_axis_angle", "RotationAxisAngle"),
            )
        ),
    ]
    for archetype, given, expected in pairs:
        if archetype == "Transform3D":
            given.pop("text", None)
            expected.pop("text", None)
        ours = getattr(rr, archetype)(**given)
        assert ours._fast_kind, (archetype, given)
        assert components(ours) == components(getattr(theirs, archetype)(**expected))


@each
def test_reruns_archetypes_take_them(name: str) -> None:
    fields = {"MediaType": "media_type", "Quaternion": "rotation", "RotationAxisAngle": "rotation"}
    values = (made(OWN, name), made(THEIRS, name))
    if name == "MediaType":
        ours, its = (theirs.TextDocument("x", **{fields[name]: value}) for value in values)
        assert same(ours, its)
    else:
        ours, its = (theirs.Transform3D(**{fields[name]: value}) for value in values)  # type: ignore[assignment]
        assert same(ours, its)
