"""`Image.compress` and `DepthImage.compress`: rerun compresses, and the result is a fast archetype.

So `type(rr.Image(pixels).compress()) is rr.EncodedImage`, as in rerun. An image that rerun does not compress is
returned itself, after rerun's warning. Any thread may call.
"""

from __future__ import annotations

from functools import cache, wraps
from types import MethodType
from typing import TYPE_CHECKING, Any

from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.encoded_images import EncodedImage
from rerun_mp.fast.images import DepthImage, Image
from rerun_mp.hooks.strictness import at_users_line

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Compression"]


class Compression:
    """A method that calls rerun's `compress`. It is missing if the release of rerun-sdk has none for this archetype."""

    __slots__ = ()

    def __get__(self, instance: FastArchetype | None, owner: Any) -> Any:
        method = compress_method(owner.rerun_class())
        return method if instance is None else MethodType(method, instance)


@cache
def compress_method(rerun_class: Any) -> Callable[..., Any]:
    """Return the method for images of a class, with the signature and the docstring of rerun's."""
    theirs = rerun_class.compress

    @wraps(theirs)
    def compress(self: Any, *args: Any, **kwargs: Any) -> Any:
        image = self
        if isinstance(self, FastArchetype):
            # The image stays fast: rerun works on an object of its own.
            is_kept = self._fast_kind and self._is_initialised()
            image = self._to_rerun(rerun_class) if is_kept else self._materialise()
        result = at_users_line(theirs, image, *args, **kwargs)
        return self if result is image else fast_archetype(result)

    return compress


def fast_archetype(made: Any) -> Any:
    """Return a fast archetype with the content of an encoded image of rerun's."""
    values: dict[str, Any] = {}
    for field in made.__attrs_attrs__:
        column = getattr(made, field.name)
        if column is not None:
            (value,) = column.as_arrow_array()
            values[field.name] = value.values.to_numpy().tobytes() if field.name == "blob" else value.as_py()
    if type(made).__name__ == "EncodedImage":
        return EncodedImage(contents=values.pop("blob"), **values)
    from rerun_mp.fast.general import general_class

    return general_class(type(made).__name__)(**values)


for _class in (Image, DepthImage):
    _class.compress = Compression()
