"""Which program gets a path: restarts of a killed script, unrelated programs, several recordings of a program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.programs import COMMAND, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch
from tests.harness.small_disks import may_unshare

pytestmark = pytest.mark.real_collectors

SCRIPT = """
import sys
import rerun_mp as rr
path, run, *events = sys.argv[1:]
rr.init("rerun_mp_restarted")
rr.save(path)
for step in range(50):
    rr.log(run, rr.Scalars(float(step)))
rr.flush()
print("stored", flush=True)
if events:
    open(events[0]).read()
for step in range(50):
    rr.log(run, rr.Scalars(float(step)))
if events:
    print("logged", flush=True)
    open(events[1]).read()
"""


def entities(path: Path) -> Counter[str]:
    """Return the rows of each entity of a complete file."""
    verify(path)
    rows = rows_of(path)
    assert len({row.row_id for row in rows}) == len(rows)
    return Counter(row.entity_path for row in rows)


class KilledRun:
    """A run of the script that is killed with its collector, with 50 rows in its file and 50 in shared memory."""

    def __init__(self, start_python: StartPython, directory: Path, path: Path, name: str) -> None:
        self.watch = SessionWatch()
        events = [directory / f"{name}-{number}" for number in range(2)]
        for event in events:
            os.mkfifo(event)
        program = start_python(SCRIPT, path, name, *events, env=self.watch.environment)
        program.wait_for_output("stored")
        self.watch.stop("guard", "worker")
        events[0].write_bytes(b"x")
        program.wait_for_output("logged")
        self.watch.kill_everything(program)
        self.stderr = program.stderr


def named_files(stderr: str) -> list[Path]:
    """Return the files that a program named on standard error."""
    return [Path(name.rstrip(";,")) for name in re.findall(r"\S*recovered-[0-9a-f]{8}[^ ;,\n]*", stderr)]


def test_a_killed_and_restarted_script_finds_each_run_in_a_named_file(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """Two runs are killed, and the third one ends. Each says where the rows of the one before it are."""
    path = tmp_path / "run.rrd"
    KilledRun(start_python, tmp_path, path, "first")
    second = KilledRun(start_python, tmp_path, path, "second")
    (of_first,) = named_files(second.stderr)
    assert entities(of_first) == {"first": 100}
    third = run_python(SCRIPT, path, "third").check()
    (of_second,) = named_files(third.stderr)
    assert third.stderr == f"rerun_mp: {path} was the file of a run that was killed; its rows are in {of_second}\n"
    assert entities(of_second) == {"second": 100}
    assert entities(path) == {"third": 100}
    assert sorted(tmp_path.glob("*.rrd")) == sorted([path, of_first, of_second])
    assert run_python(COMMAND, "recover").check().stdout == "nothing is left to recover\n"


@pytest.mark.soak
def test_recoveries_that_are_killed_too_cost_no_row(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """Three runs, each killed; the recovery that each new run starts is killed as soon as its collector runs."""
    path = tmp_path / "run.rrd"
    killed = [KilledRun(start_python, tmp_path, path, "run0")]
    for number in (1, 2, 3):
        watch = SessionWatch()
        events = [tmp_path / f"event{number}-{one}" for one in range(2)]
        for event in events:
            os.mkfifo(event)
        program = start_python(SCRIPT, path, f"run{number}", *events, env=watch.environment)
        wait_until(lambda: any(killed[-1].watch.collectors().values()), what="the recovery's collector")
        killed[-1].watch.kill_running()
        program.wait_for_output("stored")
        watch.stop("guard", "worker")
        events[0].write_bytes(b"x")
        program.wait_for_output("logged")
        watch.kill_everything(program)
        killed[-1].watch = watch
    run_python(COMMAND, "recover").check()
    found: Counter[str] = Counter()
    for file in tmp_path.glob("*.rrd"):
        found += entities(file)
    assert found == {f"run{number}": 100 for number in range(4)}


def test_a_file_that_was_recovered_unasked_is_set_aside_too(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """A recovery in the background was faster than the restarted script: the user has not heard of it."""
    path = tmp_path / "run.rrd"
    KilledRun(start_python, tmp_path, path, "first")
    run_python(COMMAND, "recover", "--automatic").check()
    assert entities(path) == {"first": 100}
    again = run_python(SCRIPT, path, "second").check()
    (of_first,) = named_files(again.stderr)
    assert f"{path} was the file of a run that was killed; it is {of_first} now" in again.stderr
    assert entities(of_first) == {"first": 100}
    assert entities(path) == {"second": 100}
    assert run_python(SCRIPT, path, "third").check().stderr == ""


def test_a_run_whose_collector_survived_is_set_aside_too(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """Only the program was killed; its collector completes the file. The next run finds it complete, or not yet."""
    path = tmp_path / "run.rrd"
    for name in ("first", "second"):
        events = [tmp_path / f"{name}-{number}" for number in range(2)]
        for event in events:
            os.mkfifo(event)
        program = start_python(SCRIPT, path, name, *events)
        program.wait_for_output("stored")
        events[0].write_bytes(b"x")
        program.wait_for_output("logged")
        program.end()
    last = run_python(SCRIPT, path, "last").check()
    assert program.stderr.count("\n") == 1, program.stderr
    (of_first,) = named_files(program.stderr)
    (of_second,) = named_files(last.stderr)
    assert [entities(file) for file in (of_first, of_second, path)] == [{"first": 100}, {"second": 100}, {"last": 100}]
    assert run_python(SCRIPT, path, "again").check().stderr == ""


def test_an_unrelated_program_does_not_take_a_path_in_use(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """Its file gets another name, and both programs say so. No row is lost."""
    path = tmp_path / "same.rrd"
    events = [tmp_path / "event0", tmp_path / "event1"]
    for event in events:
        os.mkfifo(event)
    first = start_python(SCRIPT, path, "first", *events)
    first.wait_for_output("stored")
    others = {"second": tmp_path / "same-2.rrd", "third": tmp_path / "same-3.rrd"}
    for name, other in others.items():
        newcomer = run_python(SCRIPT, path, name).check()
        wanted = f"rerun_mp: {path} is being written by another program; the rows of this one go to {other}\n"
        assert newcomer.stderr == wanted
    for event in events:
        event.write_bytes(b"x")
    done = first.wait().check()
    assert [f"wanted {path} too; its rows go to {other}\n" in done.stderr for other in others.values()] == [True, True]
    assert {name: entities(file) for name, file in {"first": path, **others}.items()} == {
        name: {name: 100} for name in ("first", "second", "third")
    }


RECORDINGS = """
import sys
import rerun_mp as rr
path = sys.argv[1]
for number in range(3):
    recording = rr.RecordingStream("rerun_mp_several", recording_id=f"recording-{number}")
    recording.save(path)
    for step in range(10 + number):
        recording.log(f"recording/{number}", rr.Scalars(float(step)))
    if sys.argv[2] == "flush":
        recording.flush()
"""


@pytest.mark.parametrize("flush", ["flush", "at once"])
def test_the_last_of_several_recordings_has_the_path(flush: str, run_python: RunPython, tmp_path: Path) -> None:
    """As with rerun. The program says what is replaced."""
    path = tmp_path / "out.rrd"
    done = run_python(RECORDINGS, path, flush).check()
    assert entities(path) == {"recording/2": 12}
    begin = f"rerun_mp: {path} is the file of recording"
    replaced = [(f"recording-{number}", f"recording-{number - 1}") for number in (1, 2)]
    assert done.stderr.splitlines() == [f"{begin} {new} now; it replaces recording {old}" for new, old in replaced]
    assert list(tmp_path.glob("*.rrd*")) == [path]


def test_a_name_of_80_chinese_characters(start_python: StartPython, run_python: RunPython, tmp_path: Path) -> None:
    """It has 244 bytes. So do the names beside it, also after a kill."""
    path = tmp_path / f"{'漢' * 80}.rrd"
    assert run_python(SCRIPT, path, "whole").check().stderr == ""
    assert entities(path) == {"whole": 100}
    KilledRun(start_python, tmp_path, path, "killed")
    again = run_python(SCRIPT, path, "again").check()
    (aside,) = (file for file in tmp_path.glob("*.rrd") if file != path)
    assert str(aside) in again.stderr
    assert entities(aside) == {"killed": 100}
    assert entities(path) == {"again": 100}


MOUNTED = """
import os, subprocess, sys
path, source, program = sys.argv[1:4]
subprocess.run(["mount", "--bind", source, path], check=True)
sys.exit(subprocess.run([sys.executable, program, *sys.argv[4:]], check=False).returncode)
"""

IN_PARTS = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_mounted")
rr.save(sys.argv[1])
for part in range(3):
    for step in range(20):
        rr.log(f"part/{part}", rr.Scalars(float(step)))
    rr.flush()
    if sys.argv[2] == "parts":
        with rr.get_global_data_recording():
            pass
"""


@pytest.mark.skipif(not may_unshare(), reason="unshare -rm is forbidden to this user here")
@pytest.mark.parametrize("parts", ["parts", "one"])
def test_a_mounted_file_is_written_in_place(parts: str, tmp_path: Path) -> None:
    """It cannot be replaced by a rename. As rerun does, the collector writes into the file that is mounted."""
    directory = tmp_path / "container"
    directory.mkdir()
    path, source, program = directory / "out.rrd", tmp_path / "host.rrd", tmp_path / "program.py"
    path.touch()
    source.write_bytes(b"an earlier file" * 1000)
    program.write_text(IN_PARTS)
    inode = source.stat().st_ino
    command = ["unshare", "-rm", sys.executable, "-c", MOUNTED, str(path), str(source), str(program), str(path), parts]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert source.stat().st_ino == inode
    assert entities(source) == {f"part/{part}": 20 for part in range(3)}
    assert sorted(os.listdir(directory)) == ["out.rrd"]
