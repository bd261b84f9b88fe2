"""Make pyarrow safe to fork: two of its locks deadlock in a child forked while another thread holds them.

The first lock belongs to pyarrow's default memory pool, mimalloc. A forked child does not release mimalloc's locks: if
the child was forked while another thread allocated, it waits for ever at its first allocation (pyarrow 26:
`mi_page_map_lock`). glibc's malloc handles forks, so Arrow uses it instead.

The second lock guards the search for pandas in the first `pyarrow.array`. The search imports pandas, which takes half a
second. So it is done as soon as pyarrow is loaded if it costs nothing: pandas is loaded, or is not installed.
Otherwise it is left to pyarrow: a thread that searches is importing, and forks wait for imports (`forking`).

The environment variable sets the default of Arrow's C++ code. It must be set before pyarrow is loaded, and children
inherit it. `pyarrow.set_memory_pool` sets the pool of calls from Python. A program that has set the variable keeps its
choice.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from types import ModuleType

from rerun_mp.hooks.when_loaded import when_loaded

__all__ = ["hide_pandas", "make_arrow_fork_safe"]

VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"
"""The environment variable that names Arrow's default memory pool."""


def make_arrow_fork_safe() -> None:
    """Make pyarrow safe to fork in this process and its children: now, or as soon as it is loaded."""
    os.environ.setdefault(VARIABLE, "system")
    when_loaded("pyarrow", _prepare)


def hide_pandas() -> None:
    """Let pyarrow believe that pandas is not installed, in a process of our own. Call it before pyarrow is loaded."""
    sys.meta_path.insert(0, _HidesPandas())


def _prepare(pyarrow: ModuleType) -> None:
    _set_pool(pyarrow)
    if "pandas" in sys.modules or _is_missing("pandas"):
        _search_pandas(pyarrow)


class _HidesPandas:
    """A finder that lets an import of pandas fail."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG002 (importlib's)
        if fullname == "pandas":
            raise ModuleNotFoundError("a collector does not load pandas")


def _set_pool(pyarrow: ModuleType) -> None:
    if os.environ.get(VARIABLE) == "system":
        pyarrow.set_memory_pool(pyarrow.system_memory_pool())


def _search_pandas(pyarrow: ModuleType) -> None:
    # Reading the attribute performs the search.
    _ = pyarrow.lib._pandas_api.have_pandas


def _is_missing(package: str) -> bool:
    try:
        return find_spec(package) is None
    except (ImportError, ValueError):
        return True
