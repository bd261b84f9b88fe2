"""pyarrow, made safe to fork: two of its locks deadlock in a child that was forked while another thread held them.

Its default memory pool is mimalloc, whose locks are not released in a forked child: a child forked while another thread
allocates waits for ever at its own first allocation (pyarrow 26: `mi_page_map_lock`). glibc's malloc takes care of
forks, so Arrow allocates from there. And the first `pyarrow.array` looks for pandas under a lock; so it looks at once,
when it is loaded.

The environment variable decides what Arrow's C++ code uses by default, if it is read before pyarrow is loaded, and
children inherit it; `pyarrow.set_memory_pool` decides for calls from Python. A program that has chosen a pool by the
variable keeps its choice.
"""

from __future__ import annotations

import os
from types import ModuleType

from rerun_mp.hooks.when_loaded import when_loaded

__all__ = ["make_arrow_fork_safe"]

VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"


def make_arrow_fork_safe() -> None:
    """Make pyarrow safe to fork in this process and its children, now or when it is loaded."""
    os.environ.setdefault(VARIABLE, "system")
    when_loaded("pyarrow", _prepare)


def _prepare(pyarrow: ModuleType) -> None:
    if os.environ.get(VARIABLE) == "system":
        pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    # The look itself is what is wanted.
    _ = pyarrow.lib._pandas_api.have_pandas
