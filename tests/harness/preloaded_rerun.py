"""Executes rerun's modules once, and hands them to each program that the preloaded interpreter forks.

`import rerun` takes 0.3 s of processor time, more than all else in most programs of tests. `execute` imports rerun
before the programs are forked, and takes its modules out of `sys.modules` again. When a program imports rerun, a
finder hands it these modules. They pass through Python's machinery of imports in the order in which they were
executed, so code that watches imports sees them, and may replace things in a module before another one imports them.
Only then does the process have what rerun registers for the end and for forks, and the variables that its native part
sets.

What differs: rerun's native part does not execute again, and its two threads do not exist in a forked process. These
threads run rerun's servers, its web viewer and its catalog. A program that needs them asks for an interpreter of its
own.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader
from itertools import count, takewhile
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

__all__ = ["execute"]

PACKAGE, NATIVE = "rerun", "rerun_bindings"
FIRST_DESCRIPTOR = 48

Call = Callable[[], object]


def execute() -> None:
    """Import rerun, forget that, and have programs find its modules when they import it."""
    executed: list[str] = []
    effects: list[Call] = []
    before = _environment()
    with _noting_modules(executed), _noting_registrations(effects), _low_descriptors_taken():
        importlib.import_module(PACKAGE)
    effects.insert(0, partial(_make_again, _sockets()))
    for name, value in _environment().items() - before.items():
        os.unsetenv(name)
        effects.insert(0, partial(os.putenv, name, value))
    modules = {name: sys.modules.pop(name) for name in executed if _is_reruns(name)}
    left = [name for name in sys.modules if _is_reruns(name)]
    assert not left, f"nothing has executed {', '.join(left)}"
    sys.meta_path.insert(sys.meta_path.index(PathFinder), _Finder(modules, effects))


def _is_reruns(name: str) -> bool:
    return name.partition(".")[0] in (PACKAGE, NATIVE)


def _environment() -> dict[bytes, bytes]:
    """Return the environment that the C library has. Native code changes it without `os.environ`."""
    entries = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    found = takewhile(lambda entry: entry is not None, map(entries.__getitem__, count()))
    return {name: value for name, _, value in (entry.partition(b"=") for entry in found if entry)}


@contextmanager
def _low_descriptors_taken() -> Iterator[None]:
    """Let native code get descriptors from `FIRST_DESCRIPTOR` on, which hardly any program has in use."""
    taken = [os.open(os.devnull, os.O_RDONLY)]
    while taken[-1] < FIRST_DESCRIPTOR - 1:
        taken.append(os.dup(taken[0]))
    try:
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)


def _sockets() -> list[list[int]]:
    """Return the descriptors of each socket that native code has opened."""
    found: dict[str, list[int]] = {}
    for descriptor in sorted(map(int, os.listdir("/proc/self/fd"))):
        link = Path(f"/proc/self/fd/{descriptor}")
        if descriptor >= FIRST_DESCRIPTOR and link.is_socket():
            found.setdefault(os.readlink(link), []).append(descriptor)
    return list(found.values())


def _make_again(pair: list[list[int]]) -> None:
    """Give this process a pair of sockets of its own in place of those that rerun's native part has opened.

    Each connection to a viewer uses them. A process that may not have these numbers does without.
    """
    for end, descriptors in zip(socket.socketpair(), pair, strict=True):
        with end:
            end.setblocking(False)
            for descriptor in descriptors:
                with suppress(OSError):
                    os.dup2(end.fileno(), descriptor, inheritable=False)


@contextmanager
def _noting_modules(executed: list[str]) -> Iterator[None]:
    """Note the name of each module that has been executed from a file."""

    def noting(execute_module: Callable[[Any, ModuleType], None]) -> Callable[[Any, ModuleType], None]:
        def execute_and_note(loader: Any, module: ModuleType) -> None:
            execute_module(loader, module)
            executed.append(module.__name__)

        return execute_and_note

    with (
        patch.object(SourceFileLoader, "exec_module", noting(SourceFileLoader.exec_module)),
        patch.object(ExtensionFileLoader, "exec_module", noting(ExtensionFileLoader.exec_module)),
    ):
        yield


@contextmanager
def _noting_registrations(effects: list[Call]) -> Iterator[None]:
    """Note what shall be called at the end and at forks, instead of registering it."""

    def noting(register: Callable[..., object]) -> Callable[..., None]:
        def note(*args: Any, **kwargs: Any) -> None:
            effects.append(partial(register, *args, **kwargs))

        return note

    with (
        patch.object(atexit, "register", noting(atexit.register)),
        patch.object(os, "register_at_fork", noting(os.register_at_fork)),
    ):
        yield


class _Finder(MetaPathFinder):
    """Finds rerun's executed modules, where the program's own paths lead to the same files."""

    def __init__(self, modules: dict[str, ModuleType], effects: list[Call]) -> None:
        self.modules = modules
        self.effects = effects
        self._contents = {name: dict(vars(module)) for name, module in modules.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of an executed module."""
        module = self.modules.get(fullname)
        if module is None:
            return None
        original = module.__spec__
        assert original is not None
        if path is None:
            found = PathFinder.find_spec(fullname)
            if found is None or found.origin != original.origin:
                return None  # the program has a package of this name
        spec = ModuleSpec(fullname, _Loader(self, original), origin=original.origin)
        spec.submodule_search_locations = original.submodule_search_locations
        return spec

    def hand_on_changes(self, name: str, later: Sequence[str]) -> None:
        """Give what has been replaced in a module since it was executed to the `later` ones, which had imported it."""
        found = vars(self.modules[name])
        replaced = {
            id(value): found[key]
            for key, value in self._contents[name].items()
            if key in found and found[key] is not value and not key.startswith("__")
        }
        for importer in later if replaced else ():
            for key, value in self._contents[importer].items():
                if id(value) in replaced:
                    setattr(self.modules[importer], key, replaced[id(value)])


class _Loader(Loader):
    """Hands out a module that has been executed."""

    def __init__(self, finder: _Finder, original: ModuleSpec) -> None:
        self._finder = finder
        self._original = original

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the executed module."""
        return self._finder.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Let the module import what it had imported; for rerun itself, all modules."""
        if module.__name__ == PACKAGE:
            names = list(self._finder.modules)
            for place, name in enumerate(names):
                if name != PACKAGE:
                    importlib.import_module(name)
                    self._finder.hand_on_changes(name, names[place + 1 :])
            sys.modules[NATIVE].cleanup_if_forked_child()
            for repeat in self._finder.effects:
                repeat()
        module.__spec__ = self._original
