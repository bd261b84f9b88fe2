"""What all fast archetypes share: the link between a fast class and rerun's class of the same name.

A *fast* archetype does no Arrow work when it is made. Its constructor recognises the usual arguments and keeps them in
its *fast attributes*, which `log` reads; rerun is not loaded. Any other argument or use makes rerun's
own object, once, and passes everything on to it::

    rr.Scalars(0.5) ──► fast: _fast_kind > 0 ──────── any field, method, ==, repr ─────────┐
                                                                                           ▼
    rr.Scalars([1, 2]) ───── unusual arguments ───────────────────► materialised: _fast_kind == 0

Guarantees:

- The fast attributes alone determine the Arrow data, which equals that of rerun's object byte for byte.
- A materialised archetype never becomes fast again, because users may change rerun's object.
- Materialising an object changes its class to the sibling that `FastMeta` keeps beside each fast class. The fast
  attributes stay, so that a thread that is just reading them logs the object as it was.
- `isinstance` and `issubclass` hold in both directions between a fast class and rerun's class. A user's subclass of a
  fast class becomes a subclass of rerun's class.

Any thread may make and use these objects. Two threads that materialise one object at the same time get the same rerun
object. A forked child inherits the objects unchanged.
"""

from __future__ import annotations

import types
from copy import copy, deepcopy
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from rerun_mp.hooks.strictness import at_users_line
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Signature
    from types import ModuleType

    from rerun_mp.encoding.row_layouts import ColumnsLayout

__all__ = ["FastArchetype", "FastMeta", "left_to_rerun"]

left_to_rerun: set[str] = set()
"""Names of archetypes that differ in an unknown release of rerun-sdk. `rerun_mp` has rerun's classes for them."""

RERUN_OBJECT = "_rerun_object"
"""Key of rerun's object in an archetype's `__dict__`. `dict.setdefault` under this key is atomic."""


class FastMeta(type(Protocol)):  # type: ignore[misc]
    """The metaclass of fast classes. It takes every attribute that it does not know from rerun's class.

    It derives from the metaclass of rerun's archetypes, so that a class can inherit from ours wherever it could from
    rerun's.

    Parameters
    ----------
    name, bases, namespace
        As for any class. `_fields` in the namespace names the fields of rerun's archetype; `_doc_note` is appended to
        its docstring.
    fast_kind
        The number of this fast class. None: a user's class.
    home
        The module that has rerun's class.
    """

    _fast_kind: int
    _home: str
    _doc_note: str
    _rerun_class: type | None
    _materialised: FastMeta

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        fast_kind: int | None = None,
        home: str = "rerun.archetypes",
        **kwargs: Any,
    ) -> Any:
        """Make a fast class and its materialised sibling; for a user's subclass, a subclass of rerun's class."""
        if fast_kind is None and bases:
            rerun_bases = tuple(base.rerun_class() if isinstance(base, FastMeta) else base for base in bases)
            return types.new_class(name, rerun_bases, kwargs, lambda body: body.update(namespace))
        if fast_kind is not None:
            namespace["_fast_kind"] = fast_kind
            namespace["_home"] = home
            namespace.setdefault("_attributes", tuple(namespace["__slots__"]))
            namespace["__doc__"] = Documentation()
            namespace["__module__"] = "rerun_mp"  # users, and pickle, find the class there
            namespace.update({field: Field(field) for field in namespace["_fields"]})
        cls = super().__new__(mcls, name, bases, namespace)
        if fast_kind is not None:
            cls._materialised = cls.sibling({"__init__": reinitialise, "_fast_kind": 0})
            when_loaded(home, cls._connect)
        return cls

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any) -> None:
        super().__init__(name, bases, namespace)

    def sibling(cls, body: dict[str, Any]) -> Any:
        """Return a class of other fast attributes, which an object of this class can change to."""
        names = {"__slots__": (), "__module__": "rerun_mp"}
        return super().__new__(type(cls), cls.__name__, (cls,), names | body)

    def _connect(cls, home: ModuleType) -> None:
        rerun_class = getattr(home, cls.__name__, None)
        if rerun_class is None:
            return  # an unknown release has dropped it: `verification` finds that out
        if hasattr(rerun_class, "register"):  # as archetypes and components have it; see `values` for others
            rerun_class.register(cls)  # must come before `cls._rerun_class` is set, or `register` finds a cycle
        cls._rerun_class = rerun_class
        cls.__doc__ = f"{rerun_class.__doc__ or ''}{cls._doc_note}"

    def rerun_class(cls) -> Any:
        """Return the rerun class that this class stands for; load rerun if necessary."""
        if cls._rerun_class is None:
            home = import_module(cls._home)
            if cls._rerun_class is None:  # another import hook came before ours
                cls._connect(home)
        return cls._rerun_class

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        # `issubclass(subclass, rerun_class)` would recurse, because `cls` is registered with `rerun_class`.
        rerun_class = cls._rerun_class
        return type.__subclasscheck__(cls, subclass) or (
            rerun_class is not None and type.__subclasscheck__(rerun_class, subclass)
        )

    def __getattribute__(cls, name: str) -> Any:
        if name == "__init__" and type.__getattribute__(cls, "_fast_kind") is not None:
            return cls.rerun_class().__init__  # for `rr.Scalars.__init__(self, ...)` in a user's subclass
        return type.__getattribute__(cls, name)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.rerun_class(), name)

    def __dir__(cls) -> list[str]:
        return dir(cls.rerun_class())

    @property
    def __signature__(cls) -> Signature:
        from inspect import signature

        return signature(cls.rerun_class())


class FastArchetype(metaclass=FastMeta):
    """Base of the fast archetypes. See the module."""

    __slots__ = ("__dict__", "__weakref__")

    _fast_kind: ClassVar[int | None] = None
    """The number of the fast class; 0 in materialised objects."""

    _home: ClassVar[str] = "rerun.archetypes"
    """The module that has rerun's class."""

    _fields: ClassVar[tuple[str, ...]] = ()
    """Names of the fields of rerun's archetype."""

    _doc_note: ClassVar[str] = ""
    """Text that is appended to the docstring of rerun's class."""

    # Read from the object: the metaclass runs Python code when a class is asked, where a signal handler may raise.
    _attributes: ClassVar[tuple[str, ...]] = ()
    """The names of the fast attributes."""

    _is_blob: ClassVar[bool] = False
    """Whether the archetype keeps one large buffer in `_buffer`, and all else in `_format`."""

    # A method, not a property: an AttributeError that a signal handler raises in a property would end in `__getattr__`.
    _find_row_layout: ClassVar[Callable[[Any], object]]
    """Return the layout of the row, a key of the tables for such archetypes."""

    def _as_columns(self) -> tuple[ColumnsLayout, list[Any]] | None:
        """Return layout and blocks of the row in a table of any components; None if it cannot lie there."""
        return None

    def _as_blocks(self) -> tuple[ColumnsLayout, list[Any]] | None:
        """Return layout and blocks of the row in a frame of its own; None if rerun must encode it."""
        return self._as_columns()

    _rerun_class: ClassVar[type | None] = None
    """Rerun's class; None until rerun is loaded."""

    _is_protocol = False  # `typing` reads it; without it, rerun's class would be loaded

    if TYPE_CHECKING:
        _materialised: ClassVar[Any]

    def _to_rerun(self, rerun_class: Any) -> Any:
        """Return an object of `rerun_class` with the content of the fast attributes."""
        raise NotImplementedError

    def _leave_to_rerun(self, *args: Any, **kwargs: Any) -> None:
        """Pass the constructor's arguments to rerun's class, and be materialised from now on."""
        cls = cast("FastMeta", type(self))
        self.__dict__[RERUN_OBJECT] = at_users_line(cls.rerun_class(), *args, **kwargs)
        self.__class__ = cls._materialised

    def _materialise(self) -> Any:
        """Return rerun's object, which alone holds the content from now on."""
        made = self.__dict__.get(RERUN_OBJECT)
        if made is None:
            cls = cast("FastMeta", type(self))
            rerun_class = cls.rerun_class()
            made = self._to_rerun(rerun_class) if self._is_initialised() else rerun_class.__new__(rerun_class)
            made = self.__dict__.setdefault(RERUN_OBJECT, made)
            self.__class__ = cls._materialised
        return made

    def _is_initialised(self) -> bool:
        try:
            for name in type(self)._attributes:
                object.__getattribute__(self, name)
        except AttributeError:
            return False
        return True

    def _fast_values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in type(self)._attributes)

    def _owned_values(self) -> tuple[Any, ...]:
        """Return the fast attributes, with bytes in place of views of the user's memory: a view cannot be pickled."""
        return tuple(owned(value) for value in self._fast_values())

    def __getattr__(self, name: str) -> Any:
        if name in type(self)._attributes:
            raise AttributeError(f"{type(self).__name__!r} object was not initialised: it has no {name!r}")
        return getattr(self._materialise(), name)

    def __dir__(self) -> list[str]:
        return dir(self._materialise())

    def __repr__(self) -> str:
        return repr(self._materialise())

    def __str__(self) -> str:
        return str(self._materialise())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FastArchetype):
            other = other._materialise()
        return bool(self._materialise() == other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        if self._fast_kind and self._is_initialised():
            return revive, (type(self), *self._owned_values())
        return unchanged, (self._materialise(),)

    def __copy__(self) -> Any:
        return revive(type(self), *self._fast_values()) if self._fast_kind else copy(self._materialise())

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._fast_kind:
            return revive(type(self), *deepcopy(self._owned_values(), memo))
        return deepcopy(self._materialise(), memo)


class Field:
    """Gives access to one field of rerun's archetype. Any access materialises the archetype."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: FastArchetype | None, owner: FastMeta) -> Any:
        return getattr(owner.rerun_class() if instance is None else instance._materialise(), self._name)

    def __set__(self, instance: FastArchetype, value: Any) -> None:
        setattr(instance._materialise(), self._name, value)

    def __delete__(self, instance: FastArchetype) -> None:
        delattr(instance._materialise(), self._name)


class Documentation:
    """Stands in for the docstring until rerun is loaded."""

    __slots__ = ()

    def __get__(self, instance: FastArchetype | None, owner: FastMeta) -> str | None:
        owner.rerun_class()  # replaces this object by the text
        return owner.__doc__


def reinitialise(self: FastArchetype, *args: Any, **kwargs: Any) -> None:
    """Initialise a materialised archetype, or a new object of its class, which `attrs.evolve` makes."""
    made = self.__dict__.get(RERUN_OBJECT)
    if made is None:
        self._leave_to_rerun(*args, **kwargs)
    else:
        made.__init__(*args, **kwargs)


def owned(value: Any) -> Any:
    """Return a fast attribute with bytes in place of views."""
    if type(value) is list:
        return [owned(item) for item in value]
    return bytes(value) if type(value) is memoryview else value


def revive(cls: type[FastArchetype], *values: Any) -> FastArchetype:
    """Return a fast archetype with these fast attributes. `pickle` and `copy` call this."""
    self = cls.__new__(cls)
    for name, value in zip(cls._attributes, values, strict=True):
        setattr(self, name, memoryview(value) if name == "_buffer" else value)
    return self


def unchanged(made: Any) -> Any:
    """Return rerun's object. `pickle` calls this for a materialised archetype."""
    return made
