"""A user's program: a series follows the recording that is active at each call."""

from __future__ import annotations

import sys
import threading

import rerun_mp as rr

number = rr.series("number")
number(0.0)  # nowhere
main, own, named = (rr.RecordingStream("app", recording_id=name) for name in ("main", "own", "named"))
for recording in (main, own, named):
    recording.save(f"{sys.argv[1]}/{recording.get_recording_id()}.rrd")
directly = rr.series(["number"], recording=named)
rr.set_global_data_recording(main)
turns = threading.Barrier(2)


def work() -> None:
    for step in range(100):
        rr.set_time("thread", sequence=step)
        number(1.0)
        directly(2.0)
        turns.wait()
        rr.set_thread_local_data_recording(own)
        rr.set_time("own", sequence=step)
        number(3.0)
        rr.set_thread_local_data_recording(None)
        turns.wait()
    directly(4.0)


thread = threading.Thread(target=work)
thread.start()
for step in range(100):
    rr.set_time("main", sequence=step)
    number(5.0)
    turns.wait()
    number(6.0)
    turns.wait()
thread.join()
named.set_time("late", sequence=1)
directly(7.0)
rr.disconnect(main), rr.disconnect(own), rr.disconnect(named)
