"""A user's program sends chunks from several sources into a recording. Usage: sending_chunks.py FILE OTHER."""

from __future__ import annotations

import sys

import rerun

import rerun_mp as rr
from rerun_mp.compat import versions

chunks = versions.chunk_module()
# Releases of rerun-sdk before 0.38 have `send_chunks` in `rerun.experimental` only.
is_public = hasattr(rerun, "send_chunks")
send_chunks = rr.send_chunks if is_public else chunks.send_chunks

other = rerun.RecordingStream("other", send_properties=False)
other.save(sys.argv[2])
other.log("stored", rerun.Scalars(3.0))
other.log("stored/static", rerun.Scalars(4.0), static=True)
other.disconnect()
rr.init("rerun_mp_bridge")
rr.save(sys.argv[1])
times = [rr.TimeColumn("step", sequence=[1, 2])]
chunk = chunks.Chunk.from_columns("chunk", times, rr.Scalars.columns(scalars=[1.0, 2.0]))
send_chunks(chunk)
(rerun if is_public else chunks).send_chunks([chunk])
recording = rr.get_data_recording()
assert recording is not None
recording.send_chunks(chunk for _ in range(2))
reader = chunks.RrdReader(sys.argv[2])
send_chunks(reader.stream(store=reader.recordings()[0]))
message = ""
try:
    send_chunks([3])  # type: ignore[list-item]
except TypeError as error:
    message = str(error)
assert "Chunk" in message, "a number was accepted as a chunk"
