"""Arrow allocates where a fork does no harm, unless the program has chosen its memory pool."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import ROOT

POOL = """
import os
import rerun_mp
import pyarrow
print(pyarrow.default_memory_pool().backend_name, os.environ["ARROW_DEFAULT_MEMORY_POOL"])
"""


@pytest.mark.parametrize(("chosen", "expected"), [(None, "system system"), ("mimalloc", "mimalloc mimalloc")])
def test_the_pool_is_the_systems_unless_the_program_chooses(
    run_python: RunPython, chosen: str | None, expected: str
) -> None:
    done = run_python(POOL, env={"ARROW_DEFAULT_MEMORY_POOL": chosen}, fresh=True).check()
    assert done.stdout.strip() == expected


def test_the_pool_changes_even_if_pyarrow_is_loaded_already(run_python: RunPython) -> None:
    program = """
        import pyarrow
        import rerun_mp
        print(pyarrow.default_memory_pool().backend_name)
    """
    done = run_python(program, env={"ARROW_DEFAULT_MEMORY_POOL": None}, fresh=True).check()
    assert done.stdout.strip() == "system"


PANDAS = """
    import os
    import sys
    import rerun_mp as rr
    import pyarrow
    pid = os.fork()
    if pid == 0:
        os._exit("pandas" in sys.modules)
    print("pandas" in sys.modules, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture
def pandas_path(tmp_path: Path) -> str:
    """Install a package named pandas, and return the search path that has it."""
    (tmp_path / "packages" / "pandas").mkdir(parents=True)
    (tmp_path / "packages" / "pandas" / "__init__.py").write_text("__version__ = '2.2.0'\n")
    return os.pathsep.join([str(tmp_path / "packages"), str(ROOT)])


def test_pandas_is_not_loaded_because_pyarrow_is(run_python: RunPython, pandas_path: str) -> None:
    """Its import would take longer than everything else that a worker loads."""
    done = run_python(PANDAS, env={"PYTHONPATH": pandas_path}, fresh=True).check()
    assert done.stdout.split() == ["False", "0"]


def test_a_collector_never_loads_pandas(run_python: RunPython, pandas_path: str) -> None:
    program = """
        import sys
        from rerun_mp.hooks.forksafe_arrow import hide_pandas
        hide_pandas()
        import pyarrow
        assert pyarrow.array([[1.0], [2.0]]).to_pylist() == [[1.0], [2.0]]
        print("pandas" in sys.modules)
    """
    assert run_python(program, env={"PYTHONPATH": pandas_path}, fresh=True).check().stdout.strip() == "False"
