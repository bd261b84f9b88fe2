"""`MediaType`, `Quaternion` and `RotationAxisAngle`: values that programs put into archetypes.

Like the fast archetypes, they keep the usual arguments of their constructor, and load rerun only for another argument
or use. Encoders read their fast attributes. Any thread may make and use these objects.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import Any, ClassVar

from rerun_mp.fast.base import FastArchetype

__all__ = ["MediaType", "Quaternion", "RotationAxisAngle", "rerun_value", "text_of"]

_pack3, _pack4 = struct.Struct("<3f").pack, struct.Struct("<4f").pack
_real_class = object.__dict__["__class__"]


class _Value:
    """A value that passes rerun's `isinstance`: once rerun is loaded, `__class__` returns rerun's class.

    Rerun's classes of values are no abstract classes, so ours cannot register with them.
    """

    __slots__ = ()

    _rerun_class: ClassVar[type | None]

    def _shown_class(self) -> type:
        return type(self)._rerun_class or type(self)

    def _change_class(self, changed: type) -> None:
        _real_class.__set__(self, changed)

    __class__ = property(_shown_class, _change_class)


class MediaType(_Value, FastArchetype, fast_kind=0, home="rerun"):
    """The type of a file's contents. Fast attribute: `_text`, a str."""

    __slots__ = ("_text",)

    _fields = ("value",)

    _text: str

    def __init__(self, value: Any) -> None:
        if type(value) is str:
            self._text = value
        else:
            self._leave_to_rerun(value)

    __init__.__qualname__ = "Utf8.__init__"  # appears in error messages, as rerun's does

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class(self._text)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self._materialise())


for _name, _text in {
    "GLB": "model/gltf-binary",
    "GLTF": "model/gltf+json",
    "JPEG": "image/jpeg",
    "MARKDOWN": "text/markdown",
    "MP4": "video/mp4",
    "OBJ": "model/obj",
    "PNG": "image/png",
    "STL": "model/stl",
    "TEXT": "text/plain",
}.items():
    setattr(MediaType, _name, MediaType(_text))


class Quaternion(_Value, FastArchetype, fast_kind=0, home="rerun"):
    """Four numbers of a rotation. Fast attribute: `_block`, the numbers as float32."""

    __slots__ = ("_block",)

    _fields = ("xyzw",)

    _block: bytes

    def __init__(self, *, xyzw: Any) -> None:
        block = _packed(xyzw, 4, _pack4)
        if block is None:
            self._leave_to_rerun(xyzw=xyzw)
        else:
            self._block = block

    __init__.__qualname__ = "QuaternionExt.__init__"

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class(xyzw=_array(self._block))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self._materialise().__array__(*args, **kwargs)

    def __len__(self) -> int:
        return len(self._materialise())


class RotationAxisAngle(_Value, FastArchetype, fast_kind=0, home="rerun"):
    """A rotation by an angle. Fast attributes: `_axis`, three numbers as float32; `_radians`, a float."""

    __slots__ = ("_axis", "_radians")

    _fields = ("axis", "angle")

    _axis: bytes
    _radians: float

    def __init__(self, axis: Any, angle: Any = None, *, radians: Any = None, degrees: Any = None) -> None:
        if angle is None and (radians is None) is not (degrees is None):
            block = _packed(axis, 3, _pack3)
            turned = degrees if radians is None else radians
            if block is not None and (isinstance(turned, float) or type(turned) is int):
                self._axis = block
                self._radians = math.radians(degrees) if radians is None else float(radians)
                return
        self._leave_to_rerun(axis, angle, radians=radians, degrees=degrees)

    __init__.__qualname__ = "RotationAxisAngleExt.__init__"

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class(_array(self._axis), radians=self._radians)


def rerun_value(given: Any) -> Any:
    """Return rerun's object in place of one of ours that has materialised; any other object unchanged."""
    return given._materialise() if isinstance(type(given), type(FastArchetype)) and not type(given).__slots__ else given


def text_of(given: Any) -> Any:
    """Return the text of a media type, ours or rerun's; any other object unchanged."""
    if type(given) is MediaType:
        return given._text
    made = rerun_value(given)
    is_media_type = made is not None and type(made) is MediaType._rerun_class
    return made.value if is_media_type and type(made.value) is str else given


def _packed(given: Any, size: int, pack: Any) -> bytes | None:
    """Return `size` numbers as float32; None if rerun's class must judge them."""
    kind = type(given)
    if kind is list or kind is tuple:
        if len(given) == size and {float, int}.issuperset(map(type, given)):
            try:
                return pack(*given)  # type: ignore[no-any-return]
            except (OverflowError, struct.error):
                return None
        return None
    numpy = sys.modules.get("numpy")  # a program that has an array has loaded numpy
    if numpy is None or kind is not numpy.ndarray or given.shape != (size,) or given.dtype.char not in "fd":
        return None
    try:
        with numpy.errstate(all="raise"):
            return given.astype("<f4").tobytes()  # type: ignore[no-any-return]
    except FloatingPointError:
        return None


def _array(block: bytes) -> Any:
    import numpy as np

    return np.frombuffer(block, "<f4").copy()
