"""Rounds are repeated when disturbed and counted to the last row; every carrier runs for real."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rounds import Round, RoundError, Runner, medians
from benchmarks.workloads import LOGGERS, TRANSPORTS, Job


def taken(foreign: float, rows_per_sec: float = 1.0, **figures: Any) -> Round:
    known = {"foreign": foreign, "rows_per_sec": rows_per_sec, "expected": 9, "rows": 9}
    return Round(Job("rerun_mp"), known | figures)


class Disturbed(Runner):
    """A runner whose rounds are disturbed by given amounts."""

    def __init__(self, foreign: Iterable[float], max_repeats: int) -> None:
        super().__init__(max_repeats, Path("/nowhere"))
        self.foreign = iter(foreign)

    def _run_once(self, job: Job) -> Round:
        return Round(job, taken(next(self.foreign)).figures)


def test_a_disturbed_round_is_repeated() -> None:
    assert Disturbed([1.0, 0.5, 0.02], max_repeats=3).run(Job("rerun_mp")).foreign == 0.02


def test_repetitions_are_bounded_and_the_least_disturbed_round_is_kept() -> None:
    runner = Disturbed([1.0, 0.5, 0.7, 0.02], max_repeats=2)
    assert runner.run(Job("rerun_mp")).foreign == 0.5


def test_the_order_changes_from_turn_to_turn() -> None:
    runner = Disturbed([0.01, 0.02, 0.03, 0.04], max_repeats=0)
    a, b = Job("rerun_mp"), Job("rerun")
    rounds = runner.turns([a, b], 2)
    assert [[result.foreign for result in rounds[job]] for job in (a, b)] == [[0.01, 0.04], [0.02, 0.03]]


def test_medians_leave_out_disturbed_rounds() -> None:
    summary = medians([taken(0.0, 10.0, logs=[1.0, 2.0]), taken(0.9, 99.0, logs=[9.0, 9.0])])
    assert (summary["rows_per_sec"], summary["logs"], summary.turns, summary.others) == (10.0, [1.0, 2.0], 1, "0.00")


def test_if_every_round_is_disturbed_all_count_and_are_marked() -> None:
    summary = medians([taken(0.5, 10.0), taken(0.9, 20.0)])
    assert (summary["rows_per_sec"], summary.others) == (15.0, "0.90 !")


@pytest.fixture
def runner() -> Runner:
    return Runner(0, Path(tempfile.gettempdir()))


@pytest.mark.parametrize("carrier", LOGGERS)
def test_every_row_of_a_logger_is_counted_in_its_file(carrier: str, runner: Runner) -> None:
    result = runner.run(Job(carrier, "text", entities=3, rows=100, warm_rows=2))
    assert (result.figures["rows"] + result.lost, runner.errors) == (204, [])
    # rerun-sdk's flush does not wait for the server, so rerun may lose its last rows on a loaded machine.
    assert result.lost == 0 or carrier == "rerun"
    assert result.figures["secs"] > 0
    assert result.figures["worker_cpu_secs"] > 0
    assert result.figures["collector_bytes"] > 0


@pytest.mark.parametrize("carrier", TRANSPORTS)
def test_every_message_of_a_transport_arrives(carrier: str, runner: Runner) -> None:
    pytest.importorskip({"faster-fifo": "faster_fifo", "zeromq": "zmq"}.get(carrier, "multiprocessing"))
    result = runner.run(Job(carrier, "points", rows=300))
    assert (result.figures["rows"], result.lost) == (602, 0)


def test_calls_and_copies_of_an_image_are_timed(runner: Runner) -> None:
    figures = runner.run(Job("rerun_mp", "image", rows=20, is_timed=True, pace_secs=0.001)).figures
    for name in ("logs", "statements", "copies"):
        p50, p99, p999 = figures[name]
        assert 0 < p50 <= p99 <= p999
    assert figures["logs"][0] < figures["statements"][0]


def test_a_lost_row_is_an_error(runner: Runner) -> None:
    class Losing(Runner):
        def _run_once(self, job: Job) -> Round:
            return self._checked(Round(job, taken(0.0, rows=7).figures))

    losing = Losing(0, runner.directory)
    assert losing.run(Job("rerun_mp")).lost == 2
    assert "2 of 9 rows lost" in losing.errors[0]


def test_a_program_that_fails_says_why(runner: Runner) -> None:
    with pytest.raises(RoundError, match="KeyError: 'no such carrier'"):
        runner.run(Job("no such carrier"))
