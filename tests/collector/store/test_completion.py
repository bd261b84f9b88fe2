"""Parts become one complete file, and the file of another run is never written over."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.file_claims import aside_paths, claim_file
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import (
    file_spec,
    live_and_be_killed,
    nothing_left,
    numbers_in,
    put,
)
from tests.harness.programs import ROOT
from tests.harness.recordings import verify


def claimed(path: Path, session: str) -> SinkSpec:
    """Return the sink of a program that claims the path now."""
    return file_spec(path, claim=claim_file(str(path), session))


def test_the_program_that_claimed_the_path_last_has_it_even_if_it_begins_first(tmp_path: Path, out: Path) -> None:
    """Hazard 14: a collector that takes long to begin does not take the path from a later run of the program."""
    earlier, later = claimed(out, "11111111"), claimed(out, "22222222")
    two = RecordingStore(RECORDING, tmp_path / "two", b"2" * 16)
    two.set_files([later])
    put(two, range(5))
    one = RecordingStore(RECORDING, tmp_path / "one", b"1" * 16)
    one.set_files([earlier])
    put(one, range(100, 103))
    finish(two)
    verify(out)
    assert numbers_in(out) == list(range(5))
    finish(one)
    verify(out)
    assert numbers_in(out) == list(range(5))
    assert_only_beside(out, b"1" * 16, range(100, 103))


def assert_only_beside(out: Path, nonce: bytes, numbers: Iterable[int]) -> None:
    """Assert that beside `out` there is one file, of the session with this nonce, with these numbers."""
    aside = Path(next(aside_paths(str(out), nonce.hex()[:8])))
    assert sorted(os.listdir(out.parent)) == [aside.name, out.name]
    verify(aside)
    assert numbers_in(aside) == list(numbers)


def test_the_program_that_claimed_the_path_last_has_it_even_if_it_begins_last(tmp_path: Path, out: Path) -> None:
    """Hazard 14: the earlier run does not get the path back. Its rows are beside it."""
    one = RecordingStore(RECORDING, tmp_path / "one", b"1" * 16)
    one.set_files([claimed(out, "11111111")])
    put(one, range(100, 103))
    later = claimed(out, "22222222")
    put(one, range(103, 105))
    finish(one)
    assert out.stat().st_size == 0
    assert_only_beside(out, b"1" * 16, range(100, 105))
    two = RecordingStore(RECORDING, tmp_path / "two", b"2" * 16)
    two.set_files([later])
    put(two, range(5))
    finish(two)
    verify(out)
    assert numbers_in(out) == list(range(5))
    assert_only_beside(out, b"1" * 16, range(100, 105))


def test_a_claim_keeps_the_mode_of_what_was_there(out: Path) -> None:
    """As opening the file for writing does."""
    out.write_text("old")
    out.chmod(0o640)
    claim_file(str(out), "11111111")
    assert (out.read_text(), stat.S_IMODE(out.stat().st_mode)) == ("", 0o640)


class KilledError(Exception):
    """Stands for the death of the process."""


@pytest.mark.parametrize("nth", range(7))
def test_a_collector_killed_at_any_step_of_completing_leaves_all_for_the_next(
    spool: Path, out: Path, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two changes of names on the disk."""
    live_and_be_killed(spool, out, [0, 1])
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, [1, 2])
    replace, steps = os.replace, iter(range(100))

    def replace_or_die(source: str | Path, target: str | Path) -> None:
        if next(steps) == nth:
            raise KilledError
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)
    try:
        finish(one)
        died = False
    except KilledError:
        died = True
    monkeypatch.undo()
    if died:
        finish(RecordingStore(RECORDING, spool, NONCE))
    verify(out)
    assert set(numbers_in(out)) - {99} == {0, 1, 2}
    assert nothing_left(spool, out)


LARGE_LIFE = """
import os, resource, signal, sys
from pathlib import Path
from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING, blob
from tests.collector.store.made_stores import file_spec
store = RecordingStore(RECORDING, Path(sys.argv[1]), NONCE)
if sys.argv[3] == "be killed":
    store.set_files([file_spec(Path(sys.argv[2]))])
    for number in range(300):
        store.append([blob(number)])
        store.flush(30.0)
    os.kill(os.getpid(), signal.SIGKILL)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
finish(store)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_completing_a_large_file_takes_little_memory(spool: Path, out: Path) -> None:
    """Hazard 30: `rerun rrd merge` takes more than the file has. A file of 300 MB is copied as a stream."""
    command = [sys.executable, "-c", LARGE_LIFE, str(spool), str(out)]
    killed = subprocess.run([*command, "be killed"], cwd=ROOT, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    done = subprocess.run([*command, "finish"], cwd=ROOT, check=True, timeout=60, capture_output=True, text=True)
    assert out.stat().st_size > 300_000_000
    assert int(done.stdout) < 150, f"it took {done.stdout.strip()} MiB"
    assert nothing_left(spool, out)


def test_the_later_of_two_runs_has_the_path_and_their_rows_never_mix(tmp_path: Path, out: Path) -> None:
    first = RecordingStore(RECORDING, tmp_path / "first", NONCE)
    first.set_files([file_spec(out)])
    put(first, [0, 1])
    later = RecordingStore(RECORDING, tmp_path / "later", b"another segment.")
    later.set_files([file_spec(out)])
    # If they wrote into one file, the first would write over what the later has written.
    put(later, range(100, 160))
    put(first, [2, 3])
    finish(first)
    put(later, [160])
    finish(later)
    verify(out)
    assert numbers_in(out) == list(range(100, 161))
    assert_only_beside(out, NONCE, range(4))


def test_a_later_run_keeps_the_path_when_the_earlier_must_merge(tmp_path: Path, out: Path) -> None:
    live_and_be_killed(tmp_path / "first", out, [0])
    later = RecordingStore(RECORDING, tmp_path / "later", b"another segment.")
    later.set_files([file_spec(out)])
    put(later, [10])
    first = RecordingStore(RECORDING, tmp_path / "first", NONCE)
    put(first, [1])
    finish(first)
    finish(later)
    verify(out)
    assert numbers_in(out) == [10]
    assert_only_beside(out, NONCE, [1])
