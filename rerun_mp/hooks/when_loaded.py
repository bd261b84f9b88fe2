"""`when_loaded`: call a function as soon as a module has been loaded.

A setting made before rerun is loaded, such as strict mode, can thus hold afterwards. A finder at the head of
`sys.meta_path` watches the modules that callbacks wait for. Nothing here imports rerun.

Python's import locks serialise the loading of each module. A forked child inherits the finder and the callbacks.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rerun_mp.shm.interruptions import is_loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["install_finder", "leave_rerun_alone", "when_loaded"]

leaves_rerun_alone = False
"""Whether this process, such as the collector, uses rerun's own recordings. The bridge then replaces nothing."""

_callbacks: dict[str, list[Callable[[ModuleType], None]]] = {}
"""The callbacks that wait for each module."""


def leave_rerun_alone() -> None:
    """Leave rerun unchanged in this process. Call it before rerun is loaded."""
    global leaves_rerun_alone
    leaves_rerun_alone = True


def when_loaded(name: str, callback: Callable[[ModuleType], None]) -> None:
    """Call `callback` with module `name`: now if it is loaded, else as soon as it has been executed.

    Needs `install_finder`. An exception in the callback fails the import.
    """
    if is_loaded(name):
        callback(sys.modules[name])
    else:
        _callbacks.setdefault(name, []).append(callback)


def install_finder() -> None:
    """Put the finder at the head of `sys.meta_path`, once."""
    if not any(isinstance(finder, LoadWatcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, LoadWatcher())


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the garbage collector from running in the block.

    A module that is being loaded makes objects that stay. rerun makes half a million, which the collector would walk
    over again and again: a tenth of the time that rerun takes to load. For the same reason they become old objects at
    once, unless the program has frozen objects: forked children would copy the pages of young ones.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()  # to the oldest generation
        gc.enable()


class LoadWatcher:
    """A finder that has the other finders find each module, and calls the callbacks after it has been executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that callbacks wait for, as `importlib.abc.MetaPathFinder` demands."""
        if fullname not in _callbacks:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                _call_after(spec.loader.exec_module, spec)
                return spec
        return None


def _call_after(exec_module: Callable[[ModuleType], None], spec: ModuleSpec) -> None:
    # Only the loader's `exec_module` is replaced: resources and tracebacks expect the original loader.
    if "exec_module" in vars(spec.loader):
        return  # another finder asked all finders, this one too: the loader is watched already

    def execute_and_call(module: ModuleType) -> None:
        del spec.loader.exec_module  # type: ignore[union-attr]
        with _no_collections():
            exec_module(module)
        for callback in _callbacks.pop(spec.name, ()):
            callback(module)

    spec.loader.exec_module = execute_and_call  # type: ignore[union-attr, method-assign]
