"""The work is large enough, the same for all carriers, and chosen by the command line."""

from __future__ import annotations

import argparse

import pytest

from benchmarks.hot_path import _parser, plan_of
from benchmarks.plan import Plan
from benchmarks.workloads import CARRIERS, KINDS, LOGGERS, PAYLOAD_BYTES, Job, archetypes, entity_paths, rows_of


def test_we_log_enough_small_rows_for_meaningful_figures() -> None:
    assert 2 * rows_of("rerun_mp", "scalars", 2) >= 2_000_000
    assert 64 * rows_of("rerun_mp", "text", 64) >= 1_000_000


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_carrier_has_work_of_every_kind(carrier: str) -> None:
    assert all(rows_of(carrier, kind, 64, share=0.001) >= 2 for kind in KINDS)


@pytest.mark.parametrize("carrier", LOGGERS)
def test_both_packages_are_timed_in_every_kind(carrier: str) -> None:
    assert all(rows_of(carrier, kind, 2, is_timed=True) > 100 for kind in KINDS)


def test_a_job_survives_json() -> None:
    job = Job("rerun_mp", "image", 8, 50, 100, is_timed=True, pace_secs=0.01)
    assert Job.from_json(job.to_json()) == job


@pytest.mark.parametrize("kind", KINDS)
def test_a_payload_is_as_large_as_the_data_of_the_row(kind: str) -> None:
    """Small extras, such as a text's offset or an image's format, do not count."""
    import rerun as rr

    batches = archetypes(rr, kind)(1).as_component_batches()
    data = max(batch.as_arrow_array().nbytes for batch in batches)
    assert data <= PAYLOAD_BYTES[kind] <= data + 64


def test_entities_are_the_same_for_all_workers() -> None:
    assert entity_paths(2) == ["work/0", "work/1"]


def options(*arguments: str) -> argparse.Namespace:
    return _parser().parse_args(arguments)


def test_the_command_line_chooses() -> None:
    assert plan_of(options()) == Plan()
    assert plan_of(options("--quick")) == Plan.quick()
    plan = plan_of(options("--quick", "--kinds", "text", "--workers", "1", "64", "--turns", "5"))
    assert (plan.kinds, plan.workers, plan.turns, plan.share) == (("text",), (1, 64), 5, Plan.quick().share)
