"""A user's program: a generator's recording is active only while the generator runs.

Usage: decorated_generators.py FILE.
"""

from __future__ import annotations

import sys
from collections.abc import Generator

import rerun_mp as rr
from tests.harness.recordings import rows_of


@rr.recording_stream_generator_ctx
def steps() -> Generator[str | None, None, None]:
    with rr.RecordingStream("generator"):
        rr.save(sys.argv[1])
        for step in range(3):
            rr.log("step", rr.Scalars(step))
            yield rr.get_application_id()


@rr.thread_local_stream("job")
def job() -> Generator[str | None, str, int]:
    got = yield rr.get_application_id()
    yield got
    return 7


@rr.thread_local_stream("plain")
def plain() -> str | None:
    return rr.get_application_id()


rr.init("main")
for inside in steps():
    assert inside == "generator"
    assert rr.get_application_id() == "main"
assert len(rows_of(sys.argv[1])) == 3
generator = job()
assert next(generator) == "job"
assert rr.get_application_id() == "main"
assert generator.send("sent") == "sent"
assert plain() == "plain"
assert rr.get_application_id() == "main"
closed_early = steps()
next(closed_early)
closed_early.close()
assert rr.get_application_id() == "main"
