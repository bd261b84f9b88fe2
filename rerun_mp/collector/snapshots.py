"""Writes snapshots: everything that the collector still has of a recording, in one complete file.

A thread of its own copies the chunks, so that the worker goes on draining. Meanwhile the recording's store removes no
part. The file lies under a hidden name until it is complete. A worker that is killed before it has answered a request
leaves it to its successor, which begins the file anew, unless the file had got its path.

A request may be old: a recovery finds it after the program was killed. A file that came to the path since the request
belongs to a later program or call, so the snapshot goes to a path beside it.

The worker's main thread calls; one thread at a time writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.collector.messages import say
from rerun_mp.collector.store import disks
from rerun_mp.collector.store.rerun_files import merge
from rerun_mp.collector.store.rerun_sinks import open_file
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import CorruptionError, FlushTimeoutError, ResourceError
from rerun_mp.session import directories
from rerun_mp.session.file_claims import aside_paths, claim_of, hidden_name
from rerun_mp.session.snapshots import read_answers, write_answers

if TYPE_CHECKING:
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.collector.recording_output import RecordingOutput
    from rerun_mp.collector.store.recording_store import RecordingStore
    from rerun_mp.collector.store.sources import Sources
    from rerun_mp.session.config import SessionConfig, SnapshotSpec
    from rerun_mp.session.file_claims import Claim
    from rerun_mp.shm.segment import Segment

__all__ = ["Snapshots"]

CLOSE_SECS = 30.0
"""Maximum seconds to close a file."""
END_SECS = 60.0
"""Maximum seconds that the session's end waits for snapshots."""

MAX_ANSWERS = 100
"""Maximum number of answers that are kept for requests that the configuration no longer has. The next request of any
process takes answered ones out of it, and a process that was stopped may not have read its answer yet."""


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
        self._placed: dict[str, Claim] = {}
        """Path -> identity of the snapshot that this worker has put there. The thread that writes has it."""

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
                for token in self._answers.keys() - self._written.keys():
                    Path(self._note_path(token)).unlink(missing_ok=True)
                self._written = dict(self._answers)

    def finish(self) -> None:
        """Wait until all files are complete, at most `END_SECS`."""
        deadline = time.monotonic() + END_SECS
        for job in self._jobs.values():
            job.thread.join(max(0.0, deadline - time.monotonic()))
        self.report()

    def _begin(self, spec: SnapshotSpec) -> None:
        recording = RecordingKey(spec.application_id, spec.recording_id)
        output = max(self._outputs.of_recording(recording), key=_rank, default=None)
        store = None if output is None else output.store
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

    def _note_path(self, token: str) -> str:
        """Return where the identity of a request's complete file is noted before the file gets its path."""
        return os.path.join(self._segment.runtime_directory, f"snapshot-{token}.json")

    # In the snapshot's own thread

    def _run(self, spec: SnapshotSpec, recording: RecordingKey, sources: Sources, failures: list[str]) -> None:
        with self._turn, sources:
            try:
                self._write(spec, recording, sources)
            except (ResourceError, FlushTimeoutError, CorruptionError, OSError, RuntimeError, ValueError) as error:
                say(f"rerun_mp: the snapshot {spec.path} cannot be written: {error}")
                failures.append(str(error))
            else:
                failures.append("")

    def _write(self, spec: SnapshotSpec, recording: RecordingKey, sources: Sources) -> None:
        note = self._note_path(spec.token)
        if _is_placed(spec.path, note):
            return
        directory, name = os.path.split(spec.path)
        fresh = os.path.join(directory, hidden_name(name, f"{spec.token}-snapshot"))
        if not disks.has_room(fresh, sources.size()):
            raise ResourceError(f"too little space is left to complete {spec.path}")
        writer = open_file(fresh, recording, blueprint=sources.default_blueprint)
        try:
            if sources.blueprint is not None:
                writer.send_blueprint(recording, sources.blueprint)
            merge((one.read() for one in sources.files), writer)
            writer.close(CLOSE_SECS)
            claim = claim_of(fresh)
            with contextlib.suppress(OSError):  # the disk is full: a successor may write the snapshot once more
                directories.replace_file(*os.path.split(note), json.dumps(claim))
            path = self._free_path(spec)
            os.replace(fresh, path)
        except BaseException:
            writer.abandon()
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise
        if claim is not None:
            self._placed[path] = claim

    def _free_path(self, spec: SnapshotSpec) -> str:
        """Return the path of the request, or one beside it if another file has come there since the request."""
        if claim_of(spec.path) in (None, spec.claim, self._placed.get(spec.path)):
            return spec.path
        names = aside_paths(spec.path, self._segment.nonce.hex()[:8])
        path = next((one for one in names if not os.path.exists(one)), None)
        if path is None:
            raise ResourceError(f"another program has written {spec.path} since, and no name beside it is free")
        say(f"rerun_mp: another program has written {spec.path} since; the snapshot is {path}")
        return path


def _rank(output: RecordingOutput) -> tuple[bool, ...]:
    """Return what makes an output a better source than others. Of equal ones, the recording's own comes first."""
    chunks, is_rotating = output.store.chunks, output.store.rotating.is_on
    return is_rotating or chunks.is_for_file, output.is_whole, is_rotating, not chunks.is_ruled


def _is_placed(path: str, note: str) -> bool:
    """Return whether a worker that was killed has put the snapshot at its path, as its note says."""
    try:
        with open(note, encoding="utf-8") as file:
            claim = json.load(file)
    except (OSError, ValueError):
        return False
    return claim is not None and claim_of(path) == tuple(claim)
