"""The order of tests: each worker begins with long ones, and each test is there once."""

from __future__ import annotations

import pytest

from tests.harness.programs import ROOT
from tests.harness.scheduling import LONGEST, dealt, is_long


@pytest.mark.parametrize("workers", [1, 2, 4, 7])
@pytest.mark.parametrize("tests", [20, 23, 100])
def test_each_share_begins_with_its_part_of_the_long_tests(tests: int, workers: int) -> None:
    order = dealt(range(tests), workers, lambda test: test % 5 == 0)
    assert sorted(order) == list(range(tests))
    rest, number = order, 0
    while rest:
        size = len(rest) // (workers - number)
        share, rest, number = rest[:size], rest[size:], number + 1
        lengths = [test % 5 == 0 for test in share]
        assert lengths == sorted(lengths, reverse=True)
        assert abs(sum(lengths) - tests / 5 / workers) <= 1


def test_the_longest_tests_exist() -> None:
    for name in LONGEST:
        path, _, function = name.partition("::")
        assert f"def {function}" in (ROOT / path).read_text()
    assert is_long(f"{LONGEST[0]}test_any")
