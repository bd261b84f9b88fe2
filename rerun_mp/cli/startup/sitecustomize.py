"""Run by Python itself in all that `rerun-mp run` starts: what says `import rerun` then logs into the session.

Python looks for this module in the directories of PYTHONPATH. The one that it would have found without us runs, too.
Nothing is loaded before the program imports rerun.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec

HERE = os.path.dirname(os.path.abspath(__file__))


class _Watch:
    """Sees that rerun is about to be imported."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004
        if fullname != "rerun":
            return None
        sys.meta_path.remove(_Watch)
        _capture()
        return find_spec(fullname)  # by the finders that there are now


def _capture() -> None:
    try:
        from rerun_mp.compat import bridge
    except ModuleNotFoundError as error:
        if error.name != "rerun_mp":
            raise
        sys.stderr.write(f"rerun-mp run: {sys.executable} has no rerun_mp; what it logs by rerun is not captured\n")
    else:
        bridge.capture()


def _run_the_other() -> None:
    spec = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if os.path.abspath(entry) != HERE])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


if os.environ.get("RERUN_MP_CAPTURE"):
    sys.meta_path.insert(0, _Watch)
_run_the_other()
