"""An old request for a snapshot replaces no newer file at its path. The whole way: `session/test_snapshots`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.collector.outputs import Outputs
from rerun_mp.collector.snapshots import Snapshots
from rerun_mp.session.config import RecordingSpec, Scope, SessionConfig, SinkSpec, SnapshotSpec
from rerun_mp.session.file_claims import aside_paths, claim_of
from rerun_mp.session.rules import Rule, values_of
from rerun_mp.session.snapshots import read_answers
from rerun_mp.shm.layout import Header
from rerun_mp.shm.segment import Segment
from tests.collector.made_frames import RECORDING
from tests.collector.store.made_stores import chunks, numbers_in


@pytest.fixture
def outputs(made: Segment, tmp_path: Path) -> Outputs:
    made.ring.words[Header.SPOOL_BYTES] = 1 << 30
    found = Outputs(made)
    found.apply(config(tmp_path))
    found.store(chunks([0]))
    found.flush()
    return found


def config(tmp_path: Path, *requests: SnapshotSpec) -> SessionConfig:
    sink = SinkSpec("file", str(tmp_path / "run.rrd"))
    return SessionConfig(recordings=(RecordingSpec(*RECORDING, (sink,)),), snapshots=requests)


def request(path: Path, token: str = "1a") -> SnapshotSpec:
    return SnapshotSpec(token, *RECORDING, str(path), claim_of(str(path)))


def meet(made: Segment, outputs: Outputs, tmp_path: Path, *requests: SnapshotSpec) -> None:
    """Let a new worker meet requests, and check that it has met them."""
    worker = Snapshots(made, outputs)
    worker.apply(config(tmp_path, *requests))
    worker.finish()
    assert read_answers(made) == {one.token: "" for one in requests}


@pytest.mark.parametrize("was_there", [True, False])
def test_a_file_that_came_since_the_request_stays(
    was_there: bool, made: Segment, outputs: Outputs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "incident.rrd"
    if was_there:
        path.write_text("before the request")
    old = request(path)
    path.write_text("since the request")
    meet(made, outputs, tmp_path, old)
    assert path.read_text() == "since the request"
    aside = Path(next(aside_paths(str(path), made.nonce.hex()[:8])))
    assert numbers_in(aside) == [0]
    assert f"{path} since; the snapshot is {aside}" in capfd.readouterr().err


def test_a_later_request_of_the_session_replaces_the_snapshot(made: Segment, outputs: Outputs, tmp_path: Path) -> None:
    """Both requests were made before the first was met."""
    path = tmp_path / "incident.rrd"
    path.write_text("before the requests")
    meet(made, outputs, tmp_path, request(path), request(path, "2b"))
    assert numbers_in(path) == [0]
    assert sorted(os.listdir(tmp_path)) == ["incident.rrd", "run.rrd", "runtime", "spool"]


def test_a_worker_that_was_killed_before_its_answer_has_written_the_snapshot(
    made: Segment, outputs: Outputs, tmp_path: Path
) -> None:
    path = tmp_path / "incident.rrd"
    asked = request(path)
    killed = Snapshots(made, outputs)
    killed.apply(config(tmp_path, asked))
    killed._jobs[asked.token].thread.join()
    before = claim_of(str(path))
    meet(made, outputs, tmp_path, asked)
    assert claim_of(str(path)) == before
    assert not list(Path(made.runtime_directory).glob("snapshot-*"))


def test_a_snapshot_is_taken_from_the_file_with_all_rows(made: Segment, tmp_path: Path) -> None:
    """Stores come in any order. Files of a child, and files with rules, lack rows."""
    made.ring.words[Header.SPOOL_BYTES] = 1 << 30
    path, main = tmp_path / "incident.rrd", SinkSpec("file", str(tmp_path / "run.rrd"))
    child = SinkSpec("file", str(tmp_path / "child.rrd"), owner=5)
    off = values_of([Rule(path="/**", off=True)])
    small = SinkSpec("file", str(tmp_path / "small.rrd"), rules=off, has_own_store=True)
    spec = RecordingSpec(*RECORDING, (child, small, main))
    outputs = Outputs(made)
    outputs.apply(SessionConfig(recordings=(spec,), scopes=(Scope(5, 0, (1, 1)),)))
    outputs.add(chunks([0, 1]))
    meet(made, outputs, tmp_path, request(path))
    assert sorted(numbers_in(path)) == [0, 1]
    assert outputs.complete_files(0.0) == 0
