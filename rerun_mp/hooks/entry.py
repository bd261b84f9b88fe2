"""Runs a module of this package in a process that was started for it. `import rerun_mp` loads this module first.

To run a collector, rerun_mp starts a frozen program a second time. Without this module the second process would run the
user's program again, and start a collector itself. The hook for PyInstaller loads this module before the first line of
the program.

A collector of plain Python also uses this module, so that it loads nothing that only users need.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module

from rerun_mp.hooks.interpreters import ENTER, is_frozen

__all__: list[str] = []

COLLECTOR = "rerun_mp.collector"


def _asked_module() -> str | None:
    """Return the module that the command line asks for, without the arguments that say so."""
    if is_frozen() and sys.argv[1:2] == [ENTER]:
        asked = sys.argv[2]
        sys.argv[:] = [sys.argv[0], *sys.argv[3:]]
        return asked
    # A sitecustomize.py that imports rerun_mp runs before the module `runpy` is loaded, and must not be cut off.
    is_being_run = sys.argv[:1] == ["-m"] and "runpy" in sys.modules
    if is_being_run and sys.orig_argv[1:4] == ["-P", "-m", COLLECTOR]:
        return COLLECTOR
    return None


def _run_and_exit(asked: str) -> None:
    """Run the module and end the process."""
    # `import rerun_mp` has not returned. Imports in other threads of the module that runs now must not wait for it.
    spec = getattr(sys.modules.get("rerun_mp"), "__spec__", None)
    if spec is not None:
        spec._initializing = False
    code = import_module(f"{asked}.__main__").main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):  # the disk of the collector's log may be full
                stream.flush()
    # Not by an exception: it would pass through the program's own code, which may catch it.
    os._exit(code)


if (asked_module := _asked_module()) is not None:
    _run_and_exit(asked_module)
