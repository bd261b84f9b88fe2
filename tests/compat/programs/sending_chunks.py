"""A user's program sends chunks from several sources into a recording. Usage: sending_chunks.py FILE OTHER."""

from __future__ import annotations

import sys

import rerun
import rerun.chunk

import rerun_mp as rr

other = rerun.RecordingStream("other", send_properties=False)
other.save(sys.argv[2])
other.log("stored", rerun.Scalars(3.0))
other.log("stored/static", rerun.Scalars(4.0), static=True)
other.disconnect()
rr.init("rerun_mp_bridge")
rr.save(sys.argv[1])
times = [rr.TimeColumn("step", sequence=[1, 2])]
chunk = rerun.chunk.Chunk.from_columns("chunk", times, rr.Scalars.columns(scalars=[1.0, 2.0]))
rr.send_chunks(chunk)
rerun.send_chunks([chunk])
recording = rr.get_data_recording()
assert recording is not None
recording.send_chunks(chunk for _ in range(2))
reader = rerun.chunk.RrdReader(sys.argv[2])
rr.send_chunks(reader.stream(store=reader.recordings()[0]))
message = ""
try:
    rr.send_chunks([3])  # type: ignore[list-item]
except TypeError as error:
    message = str(error)
assert "Chunk" in message, "a number was accepted as a chunk"
