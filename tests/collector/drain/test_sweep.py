"""Sweeps of a segment without a collector: new rows are taken once, also by the collector that follows a dead one."""

from __future__ import annotations

from rerun_mp.collector.drain.frame_chunks import build_chunks
from rerun_mp.collector.drain.sweep import MAX_SMALL_ROW_BYTES, MAX_SWEEP_BYTES, Sweep, Sweeper
from rerun_mp.shm.layout import Header, SlotState
from rerun_mp.shm.segment import Segment
from tests.collector.drain.rows import deliver, log, states


def test_a_chain_is_whole_for_the_collector_that_follows_a_dead_one(made: Segment) -> None:
    """Hazard 9: a chain is taken in one sweep, and none of its parts is freed before that sweep is done."""
    log(made, 500)
    chain = [slot for slot, state in enumerate(states(made)) if state not in (SlotState.FREE, SlotState.UNTOUCHED)]
    assert len(chain) == 3
    dead = Sweeper(made)
    sweep = dead.collect()
    assert sweep is not None
    before = build_chunks(sweep.taken, nonce=made.nonce)
    dead.begin(sweep)

    successor = Sweeper(made)
    again = deliver(made, successor, successor.collect(resume=True))
    assert [(chunk.chunk_id, chunk.batch) for chunk in again.chunks] == [
        (chunk.chunk_id, chunk.batch) for chunk in before.chunks
    ]
    assert sum(chunk.num_rows for chunk in again.chunks) == 500
    assert {states(made)[slot] for slot in chain} == {SlotState.FREE}


def test_a_sweep_that_runs_ahead_takes_only_what_the_sweep_in_flight_has_not(made: Segment) -> None:
    """The second sweep is copied before the first one is done, and no slot that it has copied is freed by the first."""
    log(made, 1)
    sweeper = Sweeper(made)
    first = sweeper.collect()
    assert first is not None
    assert sweeper.collect(after=first) is None
    log(made, 2)
    second = sweeper.collect(after=first)
    assert second is not None
    assert second.number == first.number + 1
    assert not set(first.stops) & set(second.stops)
    assert [chunk.num_rows for chunk in deliver(made, sweeper, first).chunks] == [1]
    assert [chunk.num_rows for chunk in deliver(made, sweeper, second).chunks] == [2]
    assert made.ring.words[Header.SWEEP_DONE] == second.number
    assert not sweeper.has_news()


def test_a_slot_that_may_not_be_read_counts_as_damaged(made: Segment) -> None:
    """Its rows are lost once, in one sweep, and then the slot is freed."""
    log(made, 3)
    sweeper = Sweeper(made)
    sweep = sweeper.collect(may_read=lambda _slot, _epoch: False)
    assert sweep is not None
    assert not sweep.taken
    assert list(sweep.given_up.values()) == [3]
    deliver(made, sweeper, sweep)
    assert made.ring.words[Header.DAMAGED_SLOTS] == 1
    assert set(states(made)) <= {SlotState.FREE, SlotState.UNTOUCHED}
    assert sweeper.collect() is None


def test_waiting_rows_are_counted_without_a_store_into_the_segment(made: Segment) -> None:
    log(made, 500)
    log(made, 2)
    before = bytes(made.ring.memory)
    assert sorted(Sweeper(made).waiting_rows().values()) in ([2, 500], [502])
    assert bytes(made.ring.memory) == before


def test_a_sweep_takes_twice_as_many_bytes_of_small_rows() -> None:
    """So each chunk of many entities gets twice as many rows: a chunk costs as much with one row as with a hundred."""
    rows = MAX_SWEEP_BYTES // MAX_SMALL_ROW_BYTES
    assert Sweep(1, num_bytes=MAX_SWEEP_BYTES, num_table_rows=rows - 1).is_full
    assert not Sweep(1, num_bytes=MAX_SWEEP_BYTES, num_table_rows=rows).is_full
    assert Sweep(1, num_bytes=2 * MAX_SWEEP_BYTES, num_table_rows=2 * rows).is_full
