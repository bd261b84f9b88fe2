"""P6: at a limit of the system or the session, errors name the limit, nothing hangs, and logging recovers."""

from __future__ import annotations

import os
import resource
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.programs import Program, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch

pytestmark = pytest.mark.real_collectors

PROGRAMS = Path(__file__).with_name("programs")
LOGGING = PROGRAMS / "logging_until_stopped.py"


@pytest.mark.parametrize("policy", ["block", "drop"])
def test_a_program_without_descriptors_is_warned_once_and_goes_on_when_it_has_some(
    policy: str, run_python: RunPython, tmp_path: Path
) -> None:
    """Rows with a slot are logged. The others, and a child's, are counted by cause, or dropped and counted."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAMS / "descriptors_used_up.py", path, env={"RERUN_MP_POLICY": policy}).check()
    lines = done.stdout.splitlines()
    warned, logged, delivered, dropped, counted = map(int, lines[-1].split()[1:])
    assert "Too many open files" in lines[0]
    assert any("cannot register with its session: Too many open files" in line for line in lines)
    verify(path)
    counts = Counter(row.entity_path for row in rows_of(path) if not row.entity_path.startswith("__rerun_mp"))
    assert counts == {"scalar": 101, "image": 2, "child": 1}
    if policy == "block":
        assert (warned, logged, delivered, dropped, counted) == (1, 103, 103, 0, 100)
        assert any("no slot of the ring can be claimed: Too many open files" in line for line in lines)
        cause = "no slot of the ring could be claimed (Too many open files)"
        assert lines[-2] == f"100 {{'{cause}': 100}}"
        assert f"100 rows were not logged: 100 because {cause}" in done.stderr
    else:
        assert (warned, logged, delivered, dropped, counted) == (0, 203, 103, 100, 0)


NONE_AT_ALL = """
import os, resource, sys
import rerun_mp as rr
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), hard))
try:
    rr.init("rerun_mp_files")
except rr.RerunMpError as error:
    print(type(error).__name__, error)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
rr.init("rerun_mp_files")
rr.save(sys.argv[1])
rr.log("row", rr.Scalars(1.0))
"""


@pytest.mark.parametrize("limit", [3, *(pytest.param(limit, marks=pytest.mark.soak) for limit in range(4, 9))])
def test_init_without_descriptors_names_the_cause(limit: int, run_python: RunPython, tmp_path: Path) -> None:
    """Wherever `init` runs out of descriptors, it raises with the cause. It works later."""
    path = tmp_path / "out.rrd"
    done = run_python(NONE_AT_ALL, path, str(limit)).check()
    assert done.stdout == "" or "Too many open files" in done.stdout
    assert limit > 3 or done.stdout
    assert Counter(row.entity_path for row in rows_of(path)) == {"row": 1}


def start_logging(start_python: StartPython, path: Path, stop: Path, watch: SessionWatch) -> Program:
    """Start a program that logs until the file `stop` exists, and wait until it logs."""
    program = start_python(LOGGING, path, stop, env={**watch.environment, "RERUN_MP_RING_BYTES": str(4 << 20)})
    program.wait_for_output("ready")
    return program


def stop_and_check(program: Program, path: Path, stop: Path) -> None:
    """Let the program of `start_logging` end. Its file has each row once."""
    stop.touch()
    logged = int(program.wait(timeout_secs=60.0).check().stdout.split()[-1])
    verify(path)
    rows = rows_of(path)
    assert len({row.row_id for row in rows}) == len(rows)
    assert Counter(row.entity_path for row in rows) == {"row": logged, "image": logged - 1}


def test_a_collector_without_descriptors_delivers_when_it_has_some(start_python: StartPython, tmp_path: Path) -> None:
    """Guard and worker can open no file. The worker is killed meanwhile, and cannot be replaced until later."""
    path, stop, watch = tmp_path / "out.rrd", tmp_path / "stop", SessionWatch()
    program = start_logging(start_python, path, stop, watch)
    watch.wait_for_sweeps(3)  # the worker's modules are loaded and its file is open
    guard, worker = (watch.collector(role) for role in ("guard", "worker"))
    before = resource.prlimit(guard.pid, resource.RLIMIT_NOFILE)
    for process in (guard, worker):
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    watch.wait_for_sweeps(3)  # these need no more descriptors
    watch.kill("worker")
    wait_until(lambda: watch.blocked_ns() > 200_000_000, what="a full ring")
    resource.prlimit(guard.pid, resource.RLIMIT_NOFILE, before)
    watch.wait_for_sweeps(3)
    stop_and_check(program, path, stop)


@pytest.mark.soak
def test_a_file_that_may_not_grow_any_further_costs_no_row(
    place: Path, start_python: StartPython, tmp_path: Path
) -> None:
    """Hazard 7: a failed write ends rerun's writer. Its rows and later ones go to the spool."""
    path, stop, watch = tmp_path / "out.rrd", tmp_path / "stop", SessionWatch()
    program = start_logging(start_python, path, stop, watch)
    worker = watch.collector("worker")
    hard = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)[1]
    watch.wait_for_sweeps(3)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    wait_until(
        lambda: list((place / "cache").glob("rerun_mp/*/*/part-*.rrd")), what="a part in the spool", timeout_secs=60.0
    )
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    watch.wait_for_sweeps(3)
    stop_and_check(program, path, stop)


SMALL_FILES = """
import os, resource, sys
import numpy as np
import rerun_mp as rr
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
try:
    rr.init("rerun_mp_small_files")
except rr.RerunMpError as error:
    print(type(error).__name__, error)
    sys.exit()
rr.save(sys.argv[1])
for step in range(100):
    rr.log("row", rr.Scalars(float(step)))
print("fine")
"""


@pytest.mark.parametrize(("limit", "outcome"), [(8 << 20, "fine"), (1 << 16, "ResourceError")])
def test_a_limit_of_file_sizes_makes_the_ring_smaller_or_init_fails(
    limit: int, outcome: str, run_python: RunPython, tmp_path: Path
) -> None:
    """SIGXFSZ kills no program. 8 MB suffice for a ring, 64 KB do not, and the error names the limit."""
    path = tmp_path / "out.rrd"
    done = run_python(SMALL_FILES, path, str(limit)).check()
    assert done.stdout.startswith(outcome)
    if outcome == "fine":
        verify(path)
        assert Counter(row.entity_path for row in rows_of(path)) == {"row": 100}
    else:
        assert "File too large" in done.stdout


@pytest.mark.parametrize(
    "environment",
    [
        {"RERUN_MP_POLICY": "drop"},
        pytest.param({"RERUN_MP_POLICY": "raise"}, marks=pytest.mark.soak),
        {"RERUN_MP_POLICY": "block", "RERUN_MP_BLOCK_TIMEOUT": "0.2"},
    ],
    ids=["drop", "raise", "block with a timeout"],
)
def test_more_processes_than_the_session_s_limit_are_refused(
    environment: dict[str, str], run_python: RunPython, tmp_path: Path
) -> None:
    """The third process waits no longer than its policy says, and is told why. Only the policy `raise` raises."""
    path = tmp_path / "out.rrd"
    done = run_python(
        PROGRAMS / "small_producers_table.py", path, env={**environment, "RERUN_MP_PRODUCERS": "2"}
    ).check()
    logged, refused = done.stdout.splitlines()
    assert logged == "logged"
    assert refused.startswith("raised: " if environment["RERUN_MP_POLICY"] == "raise" else "warned: ")
    assert "2 processes log at this moment, which is the session's limit" in refused
    assert "RERUN_MP_PRODUCERS" in refused
    assert Counter(row.entity_path for row in rows_of(path)) == {"parent": 1, "child/0": 1}


SMALL_PROCESS_LIMIT = """
import resource, sys
path = sys.argv[1]
import rerun_mp as rr
soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
rr.init("rerun_mp_processes")
rr.save(path)
for step in range(100):
    rr.log("row", rr.Scalars(float(step)))
print("logged", flush=True)
try:
    rr.flush()
except rr.FlushTimeoutError as error:
    print("not-stored", flush=True)
    print(error, file=sys.stderr)
resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
rr.flush(timeout_sec=30)
print("delivered", flush=True)
"""


AS_ANOTHER_USER = """
import os, sys
uid, *arguments = sys.argv[1:]
may_read = "-all,+dac_override"  # to read the interpreter's files
os.execvp("setpriv", ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--inh-caps", may_read,
                      "--ambient-caps", may_read, sys.executable, *arguments])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user whose processes are limited")
def test_a_program_that_may_start_no_process_logs_into_shared_memory(
    place: Path, run_python: RunPython, tmp_path: Path
) -> None:
    """It reports that no collector could be started. Later it may start one, and every row is delivered.

    `flush` without a timeout does not wait for a collector that cannot start.
    """
    uid, directory = 54321, place / "out"
    directory.mkdir()
    path = directory / "out.rrd"
    for name in (place, directory, *(place / name for name in ("runtime", "cache", "tmp"))):
        os.chown(name, uid, uid)
    program = tmp_path / "few.py"
    program.write_text(SMALL_PROCESS_LIMIT)
    done = run_python(AS_ANOTHER_USER, str(uid), program, path).check()
    assert done.stdout.split() == ["logged", "not-stored", "delivered"]
    assert "no collector could be started: Resource temporarily unavailable" in done.stderr
    assert "rows in 1 slots are not stored yet: for 5 s no collector could be started" in done.stderr
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {"row": 100}
