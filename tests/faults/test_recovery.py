"""All processes of a session are killed at once. A recovery brings each row into its file, once, and cleans up."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.faults.programs.logging_when_killed import IMAGES, ROWS, WORKERS
from tests.harness.leftovers import Machine
from tests.harness.programs import COMMAND, Program, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch

pytestmark = pytest.mark.real_collectors

PROGRAM = Path(__file__).with_name("programs") / "logging_when_killed.py"

EXPECTED = {f"{kind}/{n}": rows for kind, rows in (("worker", ROWS), ("image", IMAGES)) for n in range(WORKERS)}
UNDELIVERED = sum(EXPECTED.values()) - WORKERS


class KilledProgram:
    """All processes of this program are killed at once. No collector has swept its last rows."""

    def __init__(self, start_python: StartPython, directory: Path, *paths: Path, lives_on: bool = False) -> None:
        self.watch = SessionWatch()
        begin = directory / "begin"
        os.mkfifo(begin)
        environment = {**self.watch.environment, "RERUN_MP_RING_BYTES": str(8 << 20)}
        self.program: Program = start_python(PROGRAM, begin, *paths, env=environment)
        self.program.wait_for_output("begun")
        self.watch.stop("guard", "worker")
        begin.write_bytes(b"x")
        self.program.wait_for_output("logged")
        if not lives_on:
            self.kill()

    def kill(self) -> None:
        """Kill every process of the session."""
        self.watch.kill_everything(self.program)

    def has_segment(self) -> bool:
        """Return whether the session's segment still exists, under either of its names."""
        return any(self.watch.segment.parent.glob(f"{self.watch.segment.name}*"))


@pytest.fixture
def machine(place: Path) -> Machine:
    return Machine.snapshot(place)


def check_file(path: Path, expected: dict[str, int] = EXPECTED) -> None:
    """Check that a file is complete and has these rows, each once."""
    verify(path)
    rows = rows_of(path)
    assert Counter(row.entity_path for row in rows) == expected
    assert len({row.row_id for row in rows}) == len(rows), "a row id occurs twice"


def wait_for_nothing(machine: Machine) -> None:
    """Wait until nothing of the session remains. Its collector ends a moment after it has removed the files."""
    wait_until(lambda: not machine.leftovers(), what="the end of everything")


def test_recover_brings_every_row_into_the_file_and_removes_the_rest(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """Rows are in the ring, in the spool and in the truncated file. The output says how many, and names the file."""
    path = tmp_path / "out.rrd"
    KilledProgram(start_python, tmp_path, path)
    done = run_python(COMMAND, "recover").check()
    assert f"{UNDELIVERED:,} rows, in {path}" in done.stdout
    check_file(path)
    wait_for_nothing(machine)
    assert list(tmp_path.glob("*.rrd*")) == [path]
    assert run_python(COMMAND, "recover").check().stdout == "nothing is left to recover\n"


def test_a_recovery_that_can_start_no_collector_ends_and_says_why(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """The rows stay where they are, and the next recovery brings them into their file."""
    path = tmp_path / "out.rrd"
    killed = KilledProgram(start_python, tmp_path, path)
    done = run_python(COMMAND, "recover", env={"RERUN_MP_PYTHON": "/bin/false"})
    assert done.returncode == 1
    assert "for 5 s no collector could be started: RERUN_MP_PYTHON names /bin/false" in done.stderr
    assert f"The rows stay in {killed.watch.segment}" in done.stderr
    run_python(COMMAND, "recover").check()
    check_file(path)
    wait_for_nothing(machine)


def test_rows_without_a_file_get_a_new_one(
    machine: Machine, place: Path, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """The program has set no sink. The new file is in the directory that the user names."""
    KilledProgram(start_python, tmp_path)
    into = tmp_path / "recovered"
    done = run_python(COMMAND, "recover", "--into", into).check()
    (path,) = into.iterdir()
    assert f"{sum(EXPECTED.values()):,} rows, in {path}" in done.stdout
    check_file(path)
    wait_for_nothing(machine)


def test_list_describes_leftover_sessions_and_changes_nothing(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """It prints session, processes, bytes, age, undelivered rows, recording and path, and the same the second time."""
    path = tmp_path / "out.rrd"
    killed = KilledProgram(start_python, tmp_path, path)
    before = killed.watch.segment.read_bytes(), sorted(sizes_of(machine)), path.read_bytes()
    texts = [run_python(COMMAND, "recover", "--list").check().stdout for _ in range(2)]
    assert before == (killed.watch.segment.read_bytes(), sorted(sizes_of(machine)), path.read_bytes())
    for text in texts:
        found = re.search(r"^session [0-9a-f]{16}: killed processes ([\d, ]+), [\d.]+ MB, begun \d+ seconds", text)
        assert found is not None
        pids = {int(pid) for pid in found[1].split(",")}
        assert len(pids) == WORKERS + 2, "the workers, and the collector's two"
        assert re.search(
            rf"rerun_mp_worst \([0-9a-f-]+\): {UNDELIVERED:,} rows undelivered, {path}$", text, re.MULTILINE
        )
    run_python(COMMAND, "recover").check()
    check_file(path)
    assert run_python(COMMAND, "recover", "--list").check().stdout == "nothing is left to recover\n"


def sizes_of(machine: Machine) -> list[tuple[str, int]]:
    """Return the path and size of each file under the test's own directory."""
    files = [Path(directory) / name for directory, _, names in os.walk(machine.own) for name in names]
    return [(str(path), path.stat().st_size) for path in files]


NEXT = """
import sys
import rerun_mp as rr
rr.init(sys.argv[2] if len(sys.argv) > 2 else "rerun_mp_next")
rr.save(sys.argv[1])
rr.log("next", rr.Scalars(1.0))
"""


@pytest.mark.parametrize("has_file", [True, False], ids=["with a file", "without a file"])
def test_the_next_init_recovers_in_the_background_and_speaks_only_of_its_own_rows(
    has_file: bool, machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """The path of another program is no concern of the next one; rows of its own application without a file are."""
    path, own = tmp_path / "out.rrd", tmp_path / "next.rrd"
    killed = KilledProgram(start_python, tmp_path, *([path] if has_file else []))
    assert run_python(NEXT, own, env={"RERUN_MP_RECOVER": "off"}).check().stderr == ""
    assert killed.has_segment()
    done = run_python(NEXT, own, *([] if has_file else ["rerun_mp_worst"])).check()
    wait_until(lambda: not killed.has_segment(), what="the recovery")
    if has_file:
        assert done.stderr == ""
    else:
        base = machine.own / "data" / "rerun_mp"
        what = "a killed run of rerun_mp_worst had no file; its rows, if there are any, go into"
        assert done.stderr == f"rerun_mp: {what} {base}\n"
        (path,) = base.iterdir()
    check_file(path)
    check_file(own, {"next": 1})
    assert run_python(NEXT, own).check().stderr == ""


def test_a_session_with_a_living_process_is_not_changed(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """A stopped process is alive, with or without a collector. So is a collector whose program was killed."""
    path, watch, begin = tmp_path / "out.rrd", SessionWatch(), tmp_path / "begin"
    os.mkfifo(begin)
    program = start_python(PROGRAM, begin, path, env=watch.environment)
    program.wait_for_output("begun")
    stopped = watch.stop("guard", "worker")
    assert_is_left_alone(watch, run_python, tmp_path)
    os.killpg(program.pid, signal.SIGSTOP)
    for process in stopped:
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(watch.collectors().values()), what="the collector's end")
    assert_is_left_alone(watch, run_python, tmp_path)
    os.killpg(program.pid, signal.SIGCONT)
    begin.write_bytes(b"x")
    program.wait_for_output("logged")
    stopped = watch.stop("guard", "worker")
    program.end()
    assert_is_left_alone(watch, run_python, tmp_path)
    for process in stopped:
        process.send_signal(signal.SIGCONT)
    wait_for_nothing(machine)
    check_file(path)


def assert_is_left_alone(watch: SessionWatch, run_python: RunPython, directory: Path) -> None:
    """Assert that neither `recover` nor `init` finds a leftover session."""
    before = watch.segment.read_bytes()
    assert run_python(COMMAND, "recover").check().stdout == "nothing is left to recover\n"
    assert run_python(NEXT, directory / "own.rrd").check().stderr == ""
    assert watch.segment.read_bytes() == before


def test_a_path_that_a_later_run_uses_stays_with_that_run(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """Undelivered rows go into a new file beside it."""
    path = tmp_path / "out.rrd"
    killed = KilledProgram(start_python, tmp_path, path)
    path.unlink()
    path.write_bytes(b"another program's")
    done = run_python(COMMAND, "recover").check()
    assert path.read_bytes() == b"another program's"
    (rescued,) = tmp_path.glob("out.recovered-*.rrd")
    assert f"rows, in {rescued}" in done.stdout
    delivered_before = {f"worker/{n}": 1 for n in range(WORKERS)}
    check_file(rescued, dict(Counter(EXPECTED) - Counter(delivered_before)))
    assert not killed.has_segment()
    wait_for_nothing(machine)
    assert sorted(tmp_path.glob(".*rmp*")) == []


@pytest.mark.soak
def test_a_path_that_is_no_longer_writable_costs_no_row(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """The file's directory, with the delivered rows, was moved."""
    directory, into = tmp_path / "runs", tmp_path / "recovered"
    directory.mkdir()
    KilledProgram(start_python, tmp_path, directory / "out.rrd")
    directory.rename(tmp_path / "moved")
    run_python(COMMAND, "recover", "--into", into).check()
    (rescued,) = into.iterdir()
    delivered_before = {f"worker/{n}": 1 for n in range(WORKERS)}
    check_file(rescued, dict(Counter(EXPECTED) - Counter(delivered_before)))
    wait_for_nothing(machine)


def test_a_session_without_its_segment_is_recovered_from_disk(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """As after a restart of the machine: rows on disk are recovered, rows in memory are lost."""
    path, into = tmp_path / "out.rrd", tmp_path / "recovered"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    saving = KilledProgram(start_python, tmp_path / "a", path, lives_on=True)
    unsaved = KilledProgram(start_python, tmp_path / "b", lives_on=True)
    for killed in (saving, unsaved):
        killed.kill()
        killed.watch.segment.unlink()
    listed = run_python(COMMAND, "recover", "--list").check().stdout
    assert f"{WORKERS} rows undelivered, no file" in listed
    assert f"0 rows undelivered, {path}" in listed
    run_python(COMMAND, "recover", "--into", into).check()
    (rescued,) = into.iterdir()
    for file in (path, rescued):
        check_file(file, {f"worker/{n}": 1 for n in range(WORKERS)})
    wait_for_nothing(machine)


@pytest.mark.soak
def test_a_lost_configuration_costs_no_row(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """A logout removes the runtime directory. The journal in the spool names the file too."""
    path = tmp_path / "out.rrd"
    KilledProgram(start_python, tmp_path, path)
    for name in (machine.own / "runtime" / "rerun_mp").rglob("*.*"):
        name.unlink()
    done = run_python(COMMAND, "recover").check()
    assert f"{UNDELIVERED:,} rows, in {path}" in done.stdout
    check_file(path)
    wait_for_nothing(machine)


@pytest.mark.soak
def test_a_killed_recovery_is_completed_by_the_next(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """It is killed together with its collector, once the collector has the segment."""
    path = tmp_path / "out.rrd"
    killed = KilledProgram(start_python, tmp_path, path)
    for _ in range(3):
        recovery = start_python(COMMAND, "recover", "--quiet")
        wait_until(lambda: any(killed.watch.collectors().values()), what="the collector")
        os.killpg(recovery.pid, signal.SIGKILL)
        killed.watch.kill_running()
        recovery.wait()
    # The last recovery may have been complete when it was killed.
    run_python(COMMAND, "recover").check()
    wait_for_nothing(machine)
    check_file(path)


def test_many_recoveries_at_once_start_one_collector(
    machine: Machine, start_python: StartPython, tmp_path: Path
) -> None:
    """One of them starts the collector. All wait for it, and print no error."""
    path = tmp_path / "out.rrd"
    KilledProgram(start_python, tmp_path, path)
    recoveries = [start_python(COMMAND, "recover", "--quiet") for _ in range(6)]
    for recovery in recoveries:
        assert recovery.wait().check().stderr == ""
    wait_for_nothing(machine)
    check_file(path)


def test_an_unknown_session_is_an_error_and_help_lists_the_exit_statuses(run_python: RunPython) -> None:
    """The exit status for an unknown session is 2."""
    done = run_python(COMMAND, "recover", "0123456789abcdef")
    assert done.returncode == 2
    assert "no leftover session is named 0123456789abcdef" in done.stderr
    text = run_python(COMMAND, "recover", "--help").check().stdout
    assert "--list" in text
    assert "exit status" in text


TWO_PARTS = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_kept")
rr.save(sys.argv[1])
rr.log("first", rr.Scalars(1.0))
rr.flush()
print("stored", flush=True)
open(sys.argv[2]).read()
for step in range(100):
    rr.log("second", rr.Scalars(1.0))
"""


@pytest.mark.soak
def test_rows_that_could_not_be_written_at_the_end_are_kept_for_a_recovery(
    machine: Machine, start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """The file's directory is gone, so the rows stay in the spool. Nothing else of the session remains."""
    directory, into, go_on, watch = tmp_path / "runs", tmp_path / "recovered", tmp_path / "go_on", SessionWatch()
    directory.mkdir()
    os.mkfifo(go_on)
    program = start_python(TWO_PARTS, directory / "out.rrd", go_on, env=watch.environment)
    program.wait_for_output("stored")
    directory.rename(tmp_path / "moved")
    watch.kill("worker")
    go_on.write_bytes(b"x")
    program.wait().check()
    cache = machine.own / "cache"
    wait_until(lambda: all(cache in path.parents for path in found_of(machine)), what="the end")
    assert "100 rows undelivered" in run_python(COMMAND, "recover", "--list").check().stdout
    run_python(COMMAND, "recover", "--into", into).check()
    (rescued,) = into.iterdir()
    check_file(rescued, {"second": 100})
    wait_for_nothing(machine)


def found_of(machine: Machine) -> list[Path]:
    """Return the leftover files and segments, and /proc for each leftover process."""
    left = machine.leftovers()
    return [*left.files, *left.segments, *(Path("/proc") for _ in left.processes)]
