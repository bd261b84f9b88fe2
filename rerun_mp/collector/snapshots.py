"""Writes snapshots: everything that the collector still has of a recording, in one complete file.

A thread of its own copies the chunks, so that the worker goes on draining. Meanwhile the recording's store removes no
part. The file lies under a hidden name until it is complete. A worker that is killed before it has answered a request
leaves it to its successor, which begins the file anew.

The worker's main thread calls; one thread at a time writes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.collector.messages import say
from rerun_mp.collector.store import disks
from rerun_mp.collector.store.rerun_files import merge
from rerun_mp.collector.store.rerun_sinks import open_file
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import CorruptionError, FlushTimeoutError, ResourceError
from rerun_mp.session.file_claims import hidden_name
from rerun_mp.session.snapshots import read_answers, write_answers

if TYPE_CHECKING:
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.collector.store.recording_store import RecordingStore
    from rerun_mp.collector.store.sources import Sources
    from rerun_mp.session.config import SessionConfig, SnapshotSpec
    from rerun_mp.shm.segment import Segment

__all__ = ["Snapshots"]

CLOSE_SECS = 30.0
"""Maximum seconds to close a file."""
END_SECS = 60.0
"""Maximum seconds that the session's end waits for snapshots."""

MAX_ANSWERS = 100
"""Maximum number of answers to requests that are gone. A process that was stopped may not have read its answer when
another process makes the next request, which takes answered ones out of the configuration."""


class _Job(NamedTuple):
    """A snapshot that is being written."""

    thread: threading.Thread
    store: RecordingStore
    failures: list[str]
    """One item once the thread is done: why the file could not be written, or ""."""


class Snapshots:
    """The snapshots of a session."""

    def __init__(self, segment: Segment, outputs: Outputs) -> None:
        self._segment = segment
        self._outputs = outputs
        self._answers = read_answers(segment)
        self._written = dict(self._answers)
        self._jobs: dict[str, _Job] = {}
        self._turn = threading.Lock()
        """Held by the thread that writes."""

    def apply(self, config: SessionConfig) -> None:
        """Begin the snapshots that the configuration asks for, and forget old answers to requests that are gone."""
        asked = {spec.token for spec in config.snapshots}
        for token in [token for token in self._answers if token not in asked][:-MAX_ANSWERS]:
            del self._answers[token]
        for spec in config.snapshots:
            if spec.token not in self._answers and spec.token not in self._jobs:
                self._begin(spec)

    def report(self) -> None:
        """Answer the requests whose files are complete or have failed."""
        for token, job in list(self._jobs.items()):
            if not job.thread.is_alive():
                self._answers[token] = job.failures[0] if job.failures else "the collector's thread has failed"
                del self._jobs[token]
                job.store.rotating.readers -= 1
        if self._answers != self._written:
            with contextlib.suppress(OSError):  # the disk is full: the next report tries again
                write_answers(self._segment, self._answers)
                self._written = dict(self._answers)

    def finish(self) -> None:
        """Wait until all files are complete, at most `END_SECS`."""
        deadline = time.monotonic() + END_SECS
        for job in self._jobs.values():
            job.thread.join(max(0.0, deadline - time.monotonic()))
        self.report()

    def _begin(self, spec: SnapshotSpec) -> None:
        recording = RecordingKey(spec.application_id, spec.recording_id)
        stores = [store for key, store in self._outputs.stores(all_scopes=True) if key == recording]
        # The recording's own store, unless only that of some processes has a file.
        store = max(stores, key=lambda store: (store.rotating.is_on, store.chunks.is_for_file), default=None)
        sources = None if store is None else store.rotating.sources()
        if store is None or sources is None:
            self._answers[spec.token] = f"recording {recording.recording_id} has no rows"
            return
        failures: list[str] = []
        arguments = (spec, recording, sources, failures)
        thread = threading.Thread(target=self._run, args=arguments, name="rerun_mp-snapshot", daemon=True)
        self._jobs[spec.token] = _Job(thread, store, failures)
        store.rotating.readers += 1
        thread.start()

    # In the snapshot's own thread

    def _run(self, spec: SnapshotSpec, recording: RecordingKey, sources: Sources, failures: list[str]) -> None:
        with self._turn, sources:
            try:
                _write(spec, recording, sources)
            except (ResourceError, FlushTimeoutError, CorruptionError, OSError, RuntimeError, ValueError) as error:
                say(f"rerun_mp: the snapshot {spec.path} cannot be written: {error}")
                failures.append(str(error))
            else:
                failures.append("")


def _write(spec: SnapshotSpec, recording: RecordingKey, sources: Sources) -> None:
    directory, name = os.path.split(spec.path)
    fresh = os.path.join(directory, hidden_name(name, f"{spec.token}-snapshot"))
    if not disks.has_room(fresh, sources.size()):
        raise ResourceError(f"no space is left to complete {spec.path}")
    writer = open_file(fresh, recording, blueprint=sources.default_blueprint)
    try:
        if sources.blueprint is not None:
            writer.send_blueprint(recording, sources.blueprint)
        merge((one.read() for one in sources.files), writer)
        writer.close(CLOSE_SECS)
        os.replace(fresh, spec.path)
    except BaseException:
        writer.abandon()
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
