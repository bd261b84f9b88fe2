"""Rerun's modules under our name, and the moment at which rerun is loaded.

`import rerun_mp.blueprint as rrb` yields the very module `rerun.blueprint`: one object under two names, so that classes
are equal however they were imported. A finder at the head of `sys.meta_path` does it. It must come first: once
`rerun_mp.blueprint` is rerun's package, Python's own finder would load `rerun_mp.blueprint.views` a second time from
that package's directory.

The same finder tells those who asked with `when_loaded` that a module has been executed, so that what was set before
rerun was loaded (strictness) holds afterwards. Nothing here imports rerun on its own account.

Import locks of Python serialise what happens per module; a forked child inherits everything as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

__all__ = ["install_finder", "is_own", "leave_rerun_alone", "when_loaded"]

OURS = "rerun_mp"
THEIRS = "rerun"

leaves_rerun_alone = False
"""Whether this process writes by rerun's own recordings, as the collector does: `bridge` then replaces nothing."""

_waiting: dict[str, list[Callable[[ModuleType], None]]] = {}


def install_finder() -> None:
    """Put the finder at the head of `sys.meta_path`, once."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())


def leave_rerun_alone() -> None:
    """Leave rerun as it is in this process. Before it is loaded."""
    global leaves_rerun_alone
    leaves_rerun_alone = True


def when_loaded(name: str, callback: Callable[[ModuleType], None]) -> None:
    """Call `callback` with module `name`: now if it is loaded, else as soon as it has been executed.

    Needs `install_finder`. An exception in the callback fails the import.
    """
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if module is not None and not getattr(spec, "_initializing", False):
        callback(module)
    else:
        _waiting.setdefault(name, []).append(callback)


class Finder:
    """Finds rerun's modules under our name; lets every other finder find everything else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for what is ours to find, as `importlib.abc.MetaPathFinder` demands."""
        if fullname in _waiting:
            return self._announced(fullname, path, target)
        if not fullname.startswith(OURS + ".") or is_own(fullname):
            return None
        theirs = THEIRS + fullname.removeprefix(OURS)
        try:
            module = import_module(theirs)
        except ModuleNotFoundError as error:
            if error.name != theirs:
                raise
            return None
        return ModuleSpec(fullname, cast("Loader", Alias(module)), is_package=hasattr(module, "__path__"))

    def _announced(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                _announce_after(spec.loader.exec_module, spec)
                return spec
        return None


class Alias:
    """Loads a module that is loaded already, without touching it."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002 (importlib's signature)
        """Return the module; `importlib` then puts the alias's spec on it."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back."""
        module.__spec__ = self._spec


def is_own(fullname: str) -> bool:
    """Return whether a module of this name is in this package, or in one of its packages."""
    first = ".".join(fullname.split(".", 2)[:2])
    spec = PathFinder.find_spec(first, sys.modules[OURS].__path__)
    # A directory that holds nothing but stubs for type checkers has no origin.
    return spec is not None and spec.origin is not None


def _announce_after(exec_module: Callable[[ModuleType], None], spec: ModuleSpec) -> None:
    # On the loader's instance: the loader itself stays what resources and tracebacks expect.
    def execute_and_announce(module: ModuleType) -> None:
        del spec.loader.exec_module  # type: ignore[union-attr]
        exec_module(module)
        for callback in _waiting.pop(spec.name, ()):
            callback(module)

    spec.loader.exec_module = execute_and_announce  # type: ignore[union-attr, method-assign]
