"""Arrow allocates where a fork does no harm, unless the program has chosen its memory pool."""

from __future__ import annotations

import pytest

from tests.conftest import RunPython

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
