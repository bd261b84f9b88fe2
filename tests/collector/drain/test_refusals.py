"""A chunk that no store takes costs the slots of its rows, and no other slot."""

from __future__ import annotations

from rerun_mp.collector.drain.frame_chunks import TakenFrames, build_chunks
from rerun_mp.collector.drain.refusals import count_as_damaged
from rerun_mp.collector.drain.sweep import Sweep
from tests.collector.made_frames import NONCE, scalars_frame


def test_the_rows_of_a_refused_chunk_count_as_damaged_for_their_slots() -> None:
    taken = [
        TakenFrames(0, 1, 0, 8, [scalars_frame([1.0, 2.0], row_id=(7, 0), entity_path="/refused")]),
        TakenFrames(1, 1, 0, 8, [scalars_frame([3.0], row_id=(8, 0), entity_path="/refused")]),
        TakenFrames(2, 1, 0, 8, [scalars_frame([4.0], row_id=(7, 0), entity_path="/stored")]),
    ]
    built = build_chunks(taken, nonce=NONCE)
    (refused,) = [chunk for chunk in built.chunks if chunk.entity_path == "/refused"]
    count_as_damaged(refused, Sweep(1, taken=taken), built)
    assert (built.good_rows, built.damaged_rows) == ({0: 0, 1: 0, 2: 1}, {0: 2, 1: 1})
    count_as_damaged(refused, Sweep(1, taken=taken), built)
    assert built.good_rows[0] == 0, "no row is counted twice"
