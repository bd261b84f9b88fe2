"""Lets what a preloaded interpreter has imported outlast the processes that it forks.

An interpreter that ends destroys its modules, object by object. In a forked process each touch of an object of the
parent makes the kernel copy a page, and all of them take longer than most programs of tests do. The program's own
modules and objects are destroyed as usual, after its threads and the functions of `atexit`.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
from types import ModuleType

__all__ = ["LastingObjects"]

NEEDED_AT_THE_END = ("sys", "builtins")


class LastingObjects:
    """The objects of an interpreter that forks processes. Make it before a module registers a function of `atexit`."""

    def __init__(self) -> None:
        self._modules: set[int] = set()
        atexit.register(self._forget_modules)  # so it is the last one of these functions

    def keep(self) -> None:
        """Keep all present objects for ever, in this process and in those that it forks."""
        objects = gc.get_objects()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(objects))
        self._modules.update(id(one) for one in objects if isinstance(one, ModuleType))

    def _forget_modules(self) -> None:
        for name, module in list(sys.modules.items()):
            if id(module) in self._modules and name not in NEEDED_AT_THE_END:
                del sys.modules[name]
