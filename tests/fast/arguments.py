"""Strategies for the arguments of archetypes: usual ones for each encoder, and ones that rerun must judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import rerun as rr
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rerun_mp.fast.catalogue import COMPONENTS
from tests.fast.outcomes import LAYOUTS, laid_out

__all__ = ["argument", "arrays"]

DTYPES = st.sampled_from(["f4", "f8", ">f4", "f2", "i4", "u1", "i8", "u2", "u4", "bool"]).map(np.dtype)
FLOATS = st.floats(width=32) | st.floats() | st.sampled_from([0, 1, -0.0, 1e300, np.float64(0.1), np.int64(7), True])
INTEGERS = st.integers(0, 9) | st.sampled_from([-1, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64, np.uint8(3)])
SMALL = st.integers(0, 9)
ODD: Any = st.sampled_from([None, "odd", object, b"odd", 3, 0.5, [], [None], [[]], np.zeros(0), {"a": 1}])
TEXTS = st.text(max_size=4) | st.sampled_from(["\ud800", "a\0b", "größer"])


def arrays(*shapes: Any) -> Any:
    """Return a strategy of arrays of one of these shapes, of any numbers, in any memory layout."""
    shape = st.one_of(*(st.tuples(*(n if hasattr(n, "map") else st.just(n) for n in given)) for given in shapes))
    filled = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, shape, elements=_elements(dtype)))
    return st.builds(laid_out, filled, st.sampled_from(LAYOUTS))


def _elements(dtype: Any) -> Any:
    return st.just(True) if dtype.kind == "b" else st.integers(0, 99).map(dtype.type) | hnp.from_dtype(dtype)


def argument(component: str) -> Any:
    """Return a strategy of arguments for a component: mostly usual ones."""
    _, kind, item, size, values = COMPONENTS[component]
    number = FLOATS if item.startswith("f") else INTEGERS
    if kind == "numbers":
        usual = number | _lists(number) | arrays((SMALL,), (), (2, 2))
    elif kind == "vectors":
        usual = _vectors(number, size)
    elif kind == "strips":
        strip = _vectors(number, size)
        usual = _lists(strip) | strip | arrays((SMALL, 2, size), (2, 2, 2))
    elif kind == "colors":
        color = _lists(INTEGERS, 3, 4) | _lists(FLOATS, 3, 4)
        usual = (
            INTEGERS | color | _lists(color) | _lists(INTEGERS) | arrays((SMALL, 3), (SMALL, 4), (SMALL,), (1, 4, 1))
        )
        usual |= st.just(rr.components.Color([1, 2, 3]))
    elif kind == "texts":
        usual = TEXTS | _lists(TEXTS) | st.sampled_from([np.array(["a", "b"]), rr.MediaType.MARKDOWN, ["a", 3]])
    elif kind == "booleans":
        usual = st.booleans() | _lists(st.booleans()) | st.sampled_from([np.array([True, False]), np.True_, 1, [0, 1]])
    elif kind == "enumeration":
        constants = [*values, *values.values(), *getattr(rr.components, component), *map(str.lower, values)]
        usual = st.sampled_from(constants) | _lists(st.sampled_from(constants)) | st.sampled_from(["SOLID", 0, 99, 1.0])
    elif kind == "matrix":
        usual = _lists(FLOATS, 9, 9) | _lists(_lists(FLOATS, 3, 3), 3, 3) | arrays((3, 3), (9,), (2, 3, 3))
    elif kind == "axis_angles":
        rotation = st.builds(rr.RotationAxisAngle, _lists(st.integers(-3, 3), 3, 3), degrees=st.floats(-90, 90))
        usual = rotation | _lists(rotation)
    elif kind == "annotations":
        color = _lists(INTEGERS, 3, 4) | INTEGERS | st.none() | st.just(())
        usual = _lists(st.tuples(INTEGERS, TEXTS) | st.tuples(INTEGERS, TEXTS, color) | st.just(rr.AnnotationInfo(3)))
    elif kind == "bars":
        usual = _lists(FLOATS) | _lists(INTEGERS) | arrays((SMALL,), (1,), (2, 2))
    else:
        assert kind == "blob", kind
        usual = st.binary(max_size=5) | arrays((SMALL,), (2, 2)) | st.just([b"one", b"two"])
    return st.one_of(usual, usual, usual, ODD)


def _lists(items: Any, least: int = 0, most: int = 3) -> Any:
    made = st.lists(items, min_size=least, max_size=most)
    return made | made.map(tuple)


def _vectors(number: Any, size: int) -> Any:
    row = _lists(number, size, size) | arrays((size,))
    return _lists(row) | _lists(number, size, 2 * size) | arrays((SMALL, size), (SMALL, size), (size,), (2, 1), (6,))
