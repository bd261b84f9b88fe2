"""Python runs this module at the start of every interpreter below `rerun-mp run`, to capture `import rerun`.

Python finds it by PYTHONPATH. It runs the `sitecustomize` that Python would have found otherwise, too. It loads nothing
before the program imports rerun; then rerun's calls log into the session.

Wrappers such as `opentelemetry-instrument` put a directory with a `sitecustomize` of their own before ours, and then
replace themselves by the program (exec). Before an exec, and after another `sitecustomize` has run, this module's
directory moves to the front again, and the wrapper's `sitecustomize` is the next one that runs.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any, NoReturn

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


def _with_our_path_first(environment: MutableMapping[str, str]) -> None:
    entries = environment.get("PYTHONPATH", "").split(os.pathsep)
    if HERE in entries[1:]:
        environment["PYTHONPATH"] = os.pathsep.join([HERE, *(entry for entry in entries if entry != HERE)])


def _move_to_the_front_before_exec() -> None:
    execv, execve = os.execv, os.execve

    def execv_with_capture(path: Any, arguments: Any) -> NoReturn:
        _with_our_path_first(os.environ)
        execv(path, arguments)

    def execve_with_capture(path: Any, arguments: Any, environment: Any) -> NoReturn:
        if isinstance(environment, dict):
            environment = dict(environment)
            _with_our_path_first(environment)
        elif environment is os.environ:
            _with_our_path_first(os.environ)
        execve(path, arguments, environment)

    os.execv, os.execve = execv_with_capture, execve_with_capture  # type: ignore[assignment]


if os.environ.get("RERUN_MP_CAPTURE"):
    sys.meta_path.insert(0, _RerunFinder)
    _move_to_the_front_before_exec()
_run_next_sitecustomize()
if os.environ.get("RERUN_MP_CAPTURE"):
    # OpenTelemetry's puts its own directory first again, and this process's children need ours there.
    _with_our_path_first(os.environ)
