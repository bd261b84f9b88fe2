"""The outcome of a constructor call: the Arrow data byte for byte, the warnings and their places, or the error."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import rerun


class Outcome(NamedTuple):
    """The outcome of a call."""

    made: object
    """The components' data, or type and text of the error."""
    warnings: list[tuple[str, str]]
    places: set[str]
    """The files that the warnings point at."""


LAYOUTS = ("C", "F", "strided", "reversed", "read-only")


def laid_out(array: Any, layout: str) -> Any:
    """Return an equal array with another memory layout, one of `LAYOUTS`."""
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        return np.repeat(array, 2, axis=0)[::2] if array.ndim else array
    if layout == "reversed":
        return array[::-1].copy()[::-1] if array.ndim else array
    if layout == "read-only":
        array = array.copy()
        array.flags.writeable = False
    return array


def components(archetype: Any) -> list[tuple[object, bytes]]:
    """Return the descriptor and the serialised array of each component."""
    found: list[tuple[object, bytes]] = []
    for batch in archetype.as_component_batches():
        array = batch.as_arrow_array()
        items = array.type.value_type if pa.types.is_list(array.type) else array.type
        if pa.types.is_struct(items):
            # Arrow may leave out the buffers of children without rows. An array that Arrow has made anew has them all.
            array = array.take(pa.array(range(len(array)), pa.int64())) if len(array) else pa.array([], array.type)
        record = pa.record_batch([array], names=["component"])
        descriptor = batch.component_descriptor()
        described = (descriptor.component, descriptor.archetype, descriptor.component_type)
        found.append((described, record.schema.serialize().to_pybytes() + record.serialize().to_pybytes()))
    return found


def outcome(call: Callable[[], Any], *, strict: bool = False) -> Outcome:
    """Return the outcome of `call` as values that can be compared.

    The call is made in a thread of its own: a warning of rerun's looks up the source of each frame of the stack, and
    pytest has fifty.
    """
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(_outcome(call, strict=strict)))
    thread.start()
    thread.join()
    return found[0]


def _outcome(call: Callable[[], Any], *, strict: bool) -> Outcome:
    made: object
    mode = rerun.strict_mode()
    rerun.set_strict_mode(strict)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                made = components(call())
            except Exception as error:  # noqa: BLE001 (any error must be the same)
                made = type(error), str(error)
        messages = sorted((warning.category.__name__, str(warning.message)) for warning in caught)
        return Outcome(made, messages, {warning.filename for warning in caught})
    finally:
        rerun.set_strict_mode(mode)


def assert_same(ours: Any, theirs: Any, *args: Any, **kwargs: Any) -> None:
    """Call both classes with the same arguments, in strict and in lax mode, and assert equal outcomes.

    Our warnings point where rerun's point, or to this file: rerun sometimes points to a line of its own.
    """
    for strict in (False, True):
        mine = outcome(lambda: ours(*args, **kwargs), strict=strict)
        its = outcome(lambda: theirs(*args, **kwargs), strict=strict)
        assert mine[:2] == its[:2], (args, kwargs, strict)
        assert mine.places <= its.places | {__file__}, (args, kwargs, strict)
