"""Archetypes that do no Arrow work when they are made: what all of them have in common.

A *fast* archetype stands for the class of rerun that has its name. Its constructor recognises the usual arguments and
keeps them in *hot slots*, which `log` reads; rerun is not even loaded. Everything else makes rerun's own object, once,
and hands it whatever was asked::

    rr.Scalars(0.5) ──► fast: _fast_kind > 0, hot slots ──── any field, method, ==, repr ───┐
                                                                                        ▼
    rr.Scalars([1, 2]) ──── unusual arguments ────────────────────────────► materialised: _fast_kind == 0

What must hold: hot slots alone determine the Arrow data, which is that of rerun's object, byte for byte. A materialised
archetype never becomes fast again: from then on rerun's object alone says what it contains, because users may change
it. Materialising changes an object's class to the sibling that `FastMeta` keeps beside each fast class; the hot slots
are left as they were, so that a thread that is just reading them logs what the object was.

`isinstance` and `issubclass` hold in both directions between a fast class and rerun's. A subclass of a fast class is
made a subclass of rerun's. Any thread may make and use these objects; of two threads that materialise one object at
the same time, both get the object of one. A forked child inherits them as they are.
"""

from __future__ import annotations

import types
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from rerun_mp.hooks.strictness import at_users_line
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from inspect import Signature
    from types import ModuleType

__all__ = ["FastArchetype", "FastMeta"]

MADE = "_made"
"""Under this name an object's `__dict__` holds rerun's object; setting it there is atomic."""


class FastMeta(type(Protocol)):  # type: ignore[misc]
    """The class of fast classes; what it does not know of them, it asks of the class of rerun.

    It derives from the class of rerun's archetypes, so that whatever can be mixed with these can be mixed with ours.

    Parameters
    ----------
    name, bases, namespace
        As for any class. `_fields` in the namespace names the fields of rerun's archetype, `_note` is added
        to its documentation.
    fast_kind
        A number that tells the fast classes apart; None for classes that are none of ours.
    """

    _fast_kind: int
    _note: str
    _theirs: type | None
    _materialised: FastMeta

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        fast_kind: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Make a fast class and its materialised sibling; or a subclass of rerun's, if a user derives from ours."""
        if fast_kind is None and bases:
            theirs = tuple(base.theirs() if isinstance(base, FastMeta) else base for base in bases)
            return types.new_class(name, theirs, kwargs, lambda body: body.update(namespace))
        if fast_kind is not None:
            namespace["_fast_kind"] = fast_kind
            namespace["__doc__"] = Documentation()
            namespace["__module__"] = "rerun_mp"  # where users find it, and pickle
            namespace.update({field: Field(field) for field in namespace["_fields"]})
        cls = super().__new__(mcls, name, bases, namespace)
        if fast_kind is not None:
            body = {"__slots__": (), "__module__": "rerun_mp", "__init__": initialise_again, "_fast_kind": 0}
            cls._materialised = super().__new__(mcls, name, (cls,), body)
            when_loaded("rerun.archetypes", cls._adopt)
        return cls

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any) -> None:
        super().__init__(name, bases, namespace)

    def _adopt(cls, archetypes: ModuleType) -> None:
        theirs = getattr(archetypes, cls.__name__)
        theirs.register(cls)  # before we call `theirs` a subclass of `cls`: it would see a cycle
        cls._theirs = theirs
        cls.__doc__ = f"{theirs.__doc__ or ''}{cls._note}"

    def theirs(cls) -> Any:
        """Return the class of rerun that this one stands for, loading rerun if need be."""
        if cls._theirs is None:
            import rerun.archetypes

            if cls._theirs is None:  # our finder is no longer asked
                cls._adopt(rerun.archetypes)
        return cls._theirs

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        # Not `issubclass(subclass, theirs)`: `cls` is registered there, so it would be asked again.
        theirs = cls._theirs
        return type.__subclasscheck__(cls, subclass) or (
            theirs is not None and type.__subclasscheck__(theirs, subclass)
        )

    def __getattribute__(cls, name: str) -> Any:
        if name == "__init__" and type.__getattribute__(cls, "_fast_kind") is not None:
            return cls.theirs().__init__  # a subclass calls it on its own instances
        return type.__getattribute__(cls, name)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.theirs(), name)

    def __dir__(cls) -> list[str]:
        return dir(cls.theirs())

    @property
    def __signature__(cls) -> Signature:
        from inspect import signature

        return signature(cls.theirs())


class FastArchetype(metaclass=FastMeta):
    """An archetype that may be fast. See the module."""

    __slots__ = ("__dict__", "__weakref__")

    _fast_kind: ClassVar[int | None] = None
    """Which class of fast archetypes this is; 0 for objects that have been materialised."""

    _fields: ClassVar[tuple[str, ...]] = ()
    """Fields of rerun's archetype."""

    _note: ClassVar[str] = ""
    """What is added to the documentation of rerun's class."""

    _theirs: ClassVar[type | None] = None
    """The class of rerun, once that is loaded."""

    _is_protocol = False  # or `typing` would ask rerun's class

    if TYPE_CHECKING:
        _materialised: ClassVar[Any]

    def _make(self, theirs: Any) -> Any:
        """Return an object of rerun's class `theirs` that says what the hot slots say."""
        raise NotImplementedError

    def _leave(self, *args: Any, **kwargs: Any) -> None:
        """Leave these arguments of the constructor to rerun's class."""
        cls = cast("FastMeta", type(self))
        self.__dict__[MADE] = at_users_line(cls.theirs(), *args, **kwargs)
        self.__class__ = cls._materialised

    def _materialise(self) -> Any:
        """Return rerun's object, which is the truth from now on."""
        made = self.__dict__.get(MADE)
        if made is None:
            cls = cast("FastMeta", type(self))
            theirs = cls.theirs()
            is_made = all(map(self._has, cls.__slots__))
            made = self.__dict__.setdefault(MADE, self._make(theirs) if is_made else theirs.__new__(theirs))
            self.__class__ = cls._materialised
        return made

    def _has(self, slot: str) -> bool:
        try:
            object.__getattribute__(self, slot)
        except AttributeError:
            return False
        return True

    def _hot(self) -> tuple[Any, ...]:
        return tuple(getattr(self, slot) for slot in type(self).__slots__)

    def _own(self) -> tuple[Any, ...]:
        """Return the hot slots with a copy of the bytes that belong to the user, because no view can be pickled."""
        return tuple(bytes(value) if type(value) is memoryview else value for value in self._hot())

    def __getattr__(self, name: str) -> Any:
        if name in type(self).__slots__:
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
        if self._fast_kind and all(map(self._has, type(self).__slots__)):
            return revive, (type(self), *self._own())
        return itself, (self._materialise(),)

    def __copy__(self) -> Any:
        return revive(type(self), *self._hot()) if self._fast_kind else copy(self._materialise())

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._fast_kind:
            return revive(type(self), *deepcopy(self._own(), memo))
        return deepcopy(self._materialise(), memo)


class Field:
    """A field of rerun's archetype, under its own name in ours: whoever touches it gets rerun's object to touch."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: FastArchetype | None, owner: FastMeta) -> Any:
        return getattr(owner.theirs() if instance is None else instance._materialise(), self._name)

    def __set__(self, instance: FastArchetype, value: Any) -> None:
        setattr(instance._materialise(), self._name, value)

    def __delete__(self, instance: FastArchetype) -> None:
        delattr(instance._materialise(), self._name)


class Documentation:
    """Stands for the docstring until rerun is loaded."""

    __slots__ = ()

    def __get__(self, instance: FastArchetype | None, owner: FastMeta) -> str | None:
        owner.theirs()  # puts a text in our place
        return owner.__doc__


def initialise_again(self: FastArchetype, *args: Any, **kwargs: Any) -> None:
    """Initialise a materialised archetype, which may be a new one: `attrs.evolve` makes an object's class again."""
    made = self.__dict__.get(MADE)
    if made is None:
        self._leave(*args, **kwargs)
    else:
        made.__init__(*args, **kwargs)


def revive(cls: type[FastArchetype], *hot: Any) -> FastArchetype:
    """Return a fast archetype with these hot slots; pickle calls it."""
    self = cls.__new__(cls)
    for slot, value in zip(cls.__slots__, hot, strict=True):
        setattr(self, slot, memoryview(value) if slot == "_buffer" else value)
    return self


def itself(made: Any) -> Any:
    """Return rerun's object; pickle calls it for one that has been materialised."""
    return made
