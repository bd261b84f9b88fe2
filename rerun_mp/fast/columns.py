"""`TimeColumn` and the class method `columns` of fast archetypes: the arguments of `send_columns`, without rerun.

Both know the usual arguments: arrays, ranges and lists of whole numbers as times, and for components anything that a
fast class encodes, if the first axis counts the rows. Anything else goes to rerun's class. pyarrow is loaded when the
columns are sent or asked for an array: to make them needs no import. Any thread may call.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from rerun_mp.encoding.component_types import BYTES_OF_NUMBERS, parse_type
from rerun_mp.encoding.row_layouts import columns_layout
from rerun_mp.fast.encoders import CONVERSION_ERRORS
from rerun_mp.hooks.strictness import at_users_line
from rerun_mp.hooks.when_loaded import when_loaded
from rerun_mp.shm.interruptions import is_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

    from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent
    from rerun_mp.fast.encoders import Encoder

__all__ = ["FieldEncoder", "TimeColumn", "encode_columns"]

NOT_A_TIME = -(1 << 63)
"""numpy's number for a missing time."""
TYPES = {"sequence": "int64", "duration": "duration", "timestamp": "timestamp"}
"""Kind of a timeline -> pyarrow's name of its type."""
NUMPY_TYPES = {"duration": "timedelta64[ns]", "timestamp": "datetime64[ns]"}


_theirs: Any = None
"""Rerun's class; None until rerun is loaded."""


class FieldEncoder(Protocol):
    """What `columns` needs to know of an archetype's field."""

    component: ListComponent
    encoder: Encoder
    columns: int
    """Number of blocks that the encoder returns."""


class _TimeColumnMeta(type(Protocol)):  # type: ignore[misc]
    """Lets `TimeColumn` stand for rerun's class in `isinstance` and as a base."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        """Make the class; for a user's subclass, a subclass of rerun's class."""
        if not bases:
            return super().__new__(mcls, name, bases, namespace)
        theirs = tuple(_rerun_class() if isinstance(base, _TimeColumnMeta) else base for base in bases)
        return types.new_class(name, theirs, kwargs, lambda body: body.update(namespace))

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any) -> None:
        super().__init__(name, bases, namespace)

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        # `issubclass(subclass, theirs)` would recurse, because this class is registered with rerun's.
        return subclass is cls or (_theirs is not None and type.__subclasscheck__(_theirs, subclass))


class TimeColumn(metaclass=_TimeColumnMeta):
    """A column of times on one timeline, for `send_columns`.

    Parameters
    ----------
    timeline
        The name of the timeline.
    sequence
        Whole numbers.
    duration
        Seconds, or objects of `timedelta` or `timedelta64`.
    timestamp
        Seconds since the Unix epoch, or objects of `datetime` or `datetime64`.

    Raises
    ------
    ValueError
        Unless exactly one of `sequence`, `duration` and `timestamp` is given.
    """

    _is_protocol = False  # `typing` reads it

    timeline: str
    _numbers: tuple[str, Any]
    """The kind of the timeline, and the times as an array of int64. A column that was unpickled has none."""

    def __new__(cls, timeline: str, *more: Any, **times: Any) -> Any:
        """Return a column; one of rerun's class if the times are not usual ones."""
        given = {kind: values for kind, values in times.items() if values is not None}
        if len(given) == 1 and given.keys() <= TYPES.keys() and not more:
            ((kind, values),) = given.items()
            try:
                nanos = _as_integers(kind, values)
            except CONVERSION_ERRORS as error:
                if not is_own(error):
                    raise
                nanos = None
            if nanos is not None:
                import numpy as np

                made: TimeColumn = object.__new__(TimeColumn)
                made.timeline, made._numbers = timeline, (kind, np.ascontiguousarray(nanos))
                return made
        return at_users_line(_rerun_class(), timeline, *more, **times)

    @cached_property
    def times(self) -> Any:
        """The times, as an Arrow array."""
        return _times_array(*self._numbers)

    @property
    def _rows(self) -> int:
        return len(self.__dict__["times"] if "times" in self.__dict__ else self._numbers[1])

    def timeline_name(self) -> str:
        """Return the name of the timeline."""
        return self.timeline

    def as_arrow_array(self) -> Any:
        """Return the times as an Arrow array."""
        return self.times

    def __reduce__(self) -> Any:
        return _revive, (self.timeline, self.times)


def _revive(timeline: str, times: Any) -> TimeColumn:
    """Return a column of these times. `pickle` calls this."""
    made: TimeColumn = object.__new__(TimeColumn)
    made.timeline, made.times = timeline, times
    return made


def _rerun_class() -> Any:
    return import_module("rerun").TimeColumn


def _register(rerun: ModuleType) -> None:
    global _theirs
    rerun.TimeColumn.register(TimeColumn)  # must come before `_theirs` is set, or `register` finds a cycle
    _theirs = rerun.TimeColumn


when_loaded("rerun", _register)


def _as_integers(kind: str, values: Any) -> Any:
    """Return the times as an array of int64, in nanoseconds if they are no sequence. None: rerun must judge them."""
    import numpy as np

    if kind == "sequence":
        if type(values) is range or (type(values) is list and {*map(type, values)} == {int}):
            return np.array(values, np.int64)
        is_usual = type(values) is np.ndarray and values.ndim == 1 and values.dtype == np.int64
        return values if is_usual else None
    if type(values) is not np.ndarray or values.ndim != 1 or values.dtype.kind not in "iufmM":
        return None
    if values.dtype.kind in "mM":
        if values.dtype.kind != ("m" if kind == "duration" else "M"):
            return None
        nanos = values.astype(NUMPY_TYPES[kind])
    else:
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) > 9e9:
            return None  # rerun warns of these
        nanos = (values * 1e9).astype(NUMPY_TYPES[kind])
    numbers = nanos.view(np.int64)
    return None if (numbers == NOT_A_TIME).any() else numbers


def _times_array(kind: str, numbers: Any) -> Any:
    import pyarrow as pa

    arrow_type = pa.int64() if kind == "sequence" else getattr(pa, TYPES[kind])("ns")
    # `pa.array` would look for pandas.
    return pa.Array.from_buffers(arrow_type, len(numbers), [None, pa.py_buffer(numbers)])


class _Column:
    """A column of a component: its instances, and the offsets of each row's. Has the methods of rerun's class."""

    def __init__(self, layout: ColumnsLayout, blocks: list[Any], offsets: Any) -> None:
        self._layout = layout
        self._blocks = blocks
        self._offsets = offsets

    @property
    def _rows(self) -> int:
        return len(self._offsets) - 1

    @cached_property
    def descriptor(self) -> Any:
        """The descriptor of the component."""
        from rerun_mp.encoding.archetypes import descriptors_of

        return descriptors_of(self._layout)[0]

    @cached_property
    def _array(self) -> Any:
        from rerun_mp.encoding.archetypes import arrays_of_blocks

        return arrays_of_blocks(self._layout, self._blocks)[0]

    def component_descriptor(self) -> Any:
        """Return the descriptor of the component."""
        return self.descriptor

    def as_arrow_array(self) -> Any:
        """Return an array with a list of instances for each row."""
        import pyarrow as pa

        offsets = pa.Array.from_buffers(pa.int32(), len(self._offsets), [None, pa.py_buffer(self._offsets)])
        return pa.ListArray.from_arrays(offsets, self._array)

    def partition(self, lengths: Any) -> Any:
        """Return rerun's column of the same instances, with so many in each row."""
        rerun = import_module("rerun")
        batch = _Batch(self.descriptor, self._array)
        return rerun.ComponentColumn(self.descriptor, batch, lengths=lengths)


class _Batch:
    """Instances of a component, in the form that rerun's column takes."""

    def __init__(self, descriptor: Any, array: Any) -> None:
        self._descriptor = descriptor
        self._array = array

    def component_descriptor(self) -> Any:
        """Return the descriptor of the component."""
        return self._descriptor

    def component_type(self) -> Any:
        """Return the name of the component's type."""
        return self._descriptor.component_type

    def as_arrow_array(self) -> Any:
        """Return the instances."""
        return self._array


class _ColumnList:
    """The columns of an archetype. Has the methods of rerun's class."""

    def __init__(self, columns: Iterable[_Column]) -> None:
        self._columns = list(columns)

    def __iter__(self) -> Iterator[_Column]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def partition(self, lengths: Any) -> Any:
        """Return rerun's list of the same columns, with so many instances in each row."""
        rerun = import_module("rerun")
        kind = getattr(rerun, "ComponentColumnList", None) or import_module("rerun._baseclasses").ComponentColumnList
        return kind([column.partition(lengths) for column in self._columns])


def encode_columns(by_field: Mapping[str, FieldEncoder], fields: Mapping[str, Any]) -> _ColumnList | None:
    """Return the columns of an archetype, as rerun divides them into rows. None: rerun must judge the arguments."""
    given = {name: value for name, value in fields.items() if value is not None}
    if not given or not given.keys() <= by_field.keys():
        return None
    made = []
    for name in by_field:
        if name in given:
            column = _encode_column(by_field[name], given[name])
            if column is None:
                return None
            made.append(column)
    return _ColumnList(made)


def _encode_column(field: FieldEncoder, value: Any) -> _Column | None:
    import numpy as np

    kind = parse_type(field.component.type)
    if kind.kind == "b1":
        return None
    blocks = field.encoder(value)
    blocks = [blocks] if field.columns == 1 else list(blocks)
    number = len(blocks[0]) // kind.unit
    rows, instances = number, 1
    if kind.kind in BYTES_OF_NUMBERS or kind.kind == "fixed":
        shape = np.shape(value)
        rows = shape[0] if shape else 1
        if len(shape) > 1 and (kind.kind != "fixed" or shape[1:] != (kind.size,)):
            instances = shape[1]
    if not rows or rows * instances != number:
        return None
    offsets = instances * np.arange(rows + 1, dtype=np.int32)
    return _Column(columns_layout((field.component,)), blocks, offsets)
