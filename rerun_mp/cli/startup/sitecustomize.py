"""Python runs this module at the start of every interpreter below `rerun-mp run`, to capture `import rerun`.

Python finds it by PYTHONPATH. It runs the `sitecustomize` that Python would have found otherwise, too. It loads nothing
before the program imports rerun; then rerun's calls log into the session.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec

HERE = os.path.dirname(os.path.abspath(__file__))


class _RerunFinder:
    """Sets up the capture when the program is about to import rerun, and then lets the other finders find it."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004
        if fullname != "rerun":
            return None
        sys.meta_path.remove(_RerunFinder)
        _capture()
        return find_spec(fullname)


def _capture() -> None:
    try:
        from rerun_mp.compat import bridge
    except ModuleNotFoundError as error:
        if error.name != "rerun_mp":
            raise
        sys.stderr.write(f"rerun-mp run: {sys.executable} has no rerun_mp; what it logs with rerun is not captured\n")
    else:
        bridge.capture()


def _run_next_sitecustomize() -> None:
    spec = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if os.path.abspath(entry) != HERE])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


if os.environ.get("RERUN_MP_CAPTURE"):
    sys.meta_path.insert(0, _RerunFinder)
_run_next_sitecustomize()
