"""Rows that a store gives up are counted once, by producer, although sweeps are repeated."""

from __future__ import annotations

from collections import Counter

import numpy as np

from rerun_mp.collector.drain.frame_chunks import TakenFrames, build_chunks
from rerun_mp.collector.store.drops import Drops, count_by_producer
from rerun_mp.session.accounts import Reason
from tests.collector.made_frames import scalars_frame


def test_rows_dropped_of_a_repeated_sweep_are_counted_anew() -> None:
    """Rows dropped of earlier sweeps, or before the sweep, stay counted."""
    drops = Drops()
    drops.begin(1)
    drops.add(Reason.WRITE, Counter({7: 10}), is_of_sweep=True)
    drops.begin(2)
    drops.add(Reason.SPOOL, Counter({7: 5}), is_of_sweep=False)
    drops.add(Reason.WRITE, Counter({7: 3, 8: 2}), is_of_sweep=True)
    assert drops.total() == 20
    drops = Drops.from_json(drops.to_json())
    assert drops.total() == 20
    drops.begin(2)
    assert drops.by_reason()[Reason.WRITE] == {7: 10}
    drops.add(Reason.WRITE, Counter({8: 2}), is_of_sweep=True)
    drops.begin(3)
    assert drops.by_reason() == {
        Reason.POLICY: {},
        Reason.DAMAGE: {},
        Reason.SPOOL: {7: 5},
        Reason.WRITE: {7: 10, 8: 2},
        Reason.RULES: {},
    }


def test_rows_belong_to_the_producer_with_the_nearest_beginning_below_their_ids() -> None:
    """In slices of batches, too. Rows without a producer count for 0, and the collector's own rows do not count."""
    frames = [
        TakenFrames(slot, 0, 0, 1, [scalars_frame([1.0] * rows, row_id=(1000 + slot, counter))])
        for slot, (rows, counter) in enumerate([(3, 50), (4, 1 << 61), (2, 120)])
    ]
    (chunk,) = build_chunks(frames, nonce=b"0" * 16).chunks
    firsts = np.array([100, 1 << 61], np.uint64)
    assert count_by_producer("rows", chunk.batch, firsts) == {0: 3, 1 << 61: 4, 100: 2}
    assert count_by_producer("rows", chunk.batch.slice(4, 4), firsts) == {1 << 61: 3, 100: 1}
    assert count_by_producer("/__rerun_mp/dropped", chunk.batch, firsts) == {}
