"""Hosts for the tests of this folder, where root and iproute2 are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.hosts import Host, hosts, hosts_missing
from tests.harness.requirements import need

MakeHosts = Callable[[int], list[Host]]


@pytest.fixture
def make_hosts(place: Path) -> Iterator[MakeHosts]:
    """Make hosts, once in a test. They are killed at its end. CI sets RERUN_MP_REQUIRE_HOSTS: there they must be."""
    need(hosts_missing(), "RERUN_MP_REQUIRE_HOSTS")
    with ExitStack() as stack:
        yield lambda count: stack.enter_context(hosts(count, place))
