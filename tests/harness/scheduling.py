"""Lets the workers of `pytest -n` begin with the longest tests, so that none of these is the last one to run.

`--dist=worksteal` cuts the list of tests into one share for each worker. A worker without tests takes some from the end
of another one's share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["LONGEST", "dealt", "is_long"]

LONGEST = (
    "tests/faults/test_every_step_of_the_collector.py::",
    "tests/field/test_frozen.py::test_a_program_frozen_by_pyinstaller_logs",
    "tests/hosts/test_launchers.py::",
    "tests/benchmarks/test_latency.py::",
    "tests/soak/test_soak.py::",
    "tests/typecheck/test_typing.py::",
    "tests/examples/test_integrations.py::",
    "tests/parity/test_programs.py::",
    "tests/faults/test_every_interrupt.py::",
    "tests/hostile/test_fuzz.py::",
    "tests/viewer/test_web_viewer.py::test_a_browser_shows_the_images_of_forked_workers",
    "tests/examples/test_pool.py::",
    "tests/cli/test_app.py::test_counts_are_the_programs_with_a_collector_and_without",
    "tests/faults/test_debuggers.py::",
)
"""Beginnings of the names of tests that take 20 s or more on a busy machine."""

Test = TypeVar("Test")


def is_long(name: str) -> bool:
    """Return whether a test belongs to the longest ones."""
    return name.startswith(LONGEST)


def dealt(tests: Sequence[Test], workers: int, is_long: Callable[[Test], bool]) -> list[Test]:
    """Return the tests in an order in which the share of each of the `workers` begins with a part of the long tests."""
    long = [test for test in tests if is_long(test)]
    others = [test for test in tests if not is_long(test)]
    found: list[Test] = []
    for worker in range(workers):
        share = long[worker::workers]
        size = (len(tests) - len(found)) // (workers - worker)
        rest = max(0, size - len(share))
        found += share + others[:rest]
        del others[:rest]
    return found
