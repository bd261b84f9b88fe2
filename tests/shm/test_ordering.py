"""Memory order: which way a session goes, and that rows arrive by each of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.shm import kernel, ordering
from rerun_mp.shm.layout import Header, SlotState
from tests.conftest import RunPython
from tests.faults.test_debuggers import PROGRAM, assert_every_row_is_there_once
from tests.shm.bench_ring import make_ring, watch

MACHINE = os.uname().machine


def test_the_machine_decides_unless_a_variable_does(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"x86_64": ordering.STRONG}.get(MACHINE, ordering.BARRIERS)
    assert ordering.choose() == expected
    monkeypatch.setenv("RERUN_MP_MEMORY_ORDER", "fences")
    assert ordering.choose() == ordering.FENCES


def test_where_the_kernel_refuses_the_barrier_processes_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "STRONG_MACHINES", ())
    assert ordering.choose() in (ordering.BARRIERS, ordering.FENCES)
    monkeypatch.setattr(kernel, "_membarrier", lambda _: False)
    assert ordering.choose() == ordering.FENCES
    assert [ordering.register_producer(way) for way in (ordering.STRONG, ordering.BARRIERS, ordering.FENCES)] == [
        True,
        False,
        False,
    ]
    with pytest.raises(OSError, match="membarrier"):
        ordering.order_loads(ordering.BARRIERS)
    ordering.order_loads(ordering.FENCES)
    ordering.order_loads(ordering.STRONG)


def test_a_slot_is_free_only_behind_a_barrier(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = make_ring()
    ring.words[Header.ORDERING] = ordering.BARRIERS
    made = watch(ring)
    monkeypatch.setattr("rerun_mp.shm.ring.order_loads", lambda way: made.append(-way))
    ring.free(0)
    assert made[-2:] == [-ordering.BARRIERS, ring.geometry.line_word(0)]
    assert ring.states[0] == SlotState.FREE


@pytest.mark.parametrize("way", ["barriers", "fences"])
def test_a_pool_loses_no_row_by_any_way(way: str, run_python: RunPython, tmp_path: Path) -> None:
    """The order itself cannot be seen on this machine; the models check it. This shows that the ways work."""
    path = tmp_path / "rows.rrd"
    run_python(PROGRAM, path, "3", "2000", env={"RERUN_MP_MEMORY_ORDER": way}).check()
    assert_every_row_is_there_once(path, 3, 2000)
