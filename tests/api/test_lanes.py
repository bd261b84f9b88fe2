"""Lanes belong to threads, and one call of `leave_lanes` invalidates all of them."""

from __future__ import annotations

import os
import threading

from rerun_mp.api import lanes
from rerun_mp.api.lanes import Lane, Lanes


def test_each_thread_has_a_lane_of_its_own() -> None:
    own, seen = Lanes(), list[Lane]()
    thread = threading.Thread(target=lambda: seen.append(own.lane))
    thread.start()
    thread.join()
    assert own.lane is own.lane
    assert seen[0] is not own.lane


def test_a_new_lane_is_not_open() -> None:
    assert Lane().version != lanes.version


def test_leaving_invalidates_every_lane() -> None:
    lane = Lane()
    lane.version = lanes.version
    lanes.leave_lanes()
    assert lane.version != lanes.version


def test_a_forked_child_leaves_the_lanes_of_its_parent() -> None:
    before = lanes.version
    child = os.fork()
    if child == 0:
        os._exit(0 if lanes.version != before else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lanes.version == before
