"""The ranks of a launcher's job on one host are one session: each saves to the same path, and the file has all rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from rerun_mp.session import jobs
from rerun_mp.session.jobs import JOB_VARIABLE, Job, job_of
from tests.conftest import StartPython
from tests.examples.test_integrations import python_with_torch
from tests.field.held import WAIT, held
from tests.harness.leftovers import Machine
from tests.harness.programs import ROOT, Program, wait_until
from tests.harness.recordings import count_rows, recordings_in, verify
from tests.harness.requirements import need_field
from tests.harness.servers import saved_rows
from tests.hosts.launching import of_torchrun

pytestmark = pytest.mark.real_collectors

ROWS = 50
RANK = f"""
import os, sys
import rerun_mp as rr
names = ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "LOCAL_RANK")
rank = next(os.environ[name] for name in names if name in os.environ)
rr.init("rerun_mp_ranks")
rr.save(sys.argv[1])
for step in range({ROWS}):
    rr.log(f"rank/{{rank}}", rr.Scalars(float(step)))
"""
LAUNCHER = """
import json, os, subprocess, sys
ranks = [
    subprocess.Popen(command, env={**os.environ, **variables}) for command, variables in json.loads(sys.argv[1])
]
for rank in ranks:
    rank.wait()
"""
"""A launcher that knows nothing of rerun_mp."""


def run(command: Sequence[str | Path], **variables: str) -> None:
    """Run a launcher to its end."""
    places = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
    environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def all_rows(count: int) -> dict[str, int]:
    """Return the rows that so many ranks log."""
    return {f"rank/{number}": ROWS for number in range(count)}


def wait_for_end(place: Path, before: Machine) -> None:
    """Wait until no session of the test is left."""
    wait_until(lambda: not before.leftovers().segments, what="the end of the sessions")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return the program of a rank."""
    path = tmp_path / "rank.py"
    path.write_text(RANK)
    return path


def torchrun(*arguments: str | Path) -> list[str | Path]:
    """Return a command that runs two ranks."""
    # PyTorch 1.13 cannot read its own defaults of the last two options on Python 3.11, nor those of all streams.
    options = ["--standalone", "--nproc_per_node=2", "--redirects=0:1,1:1", "--tee=0:2,1:2"]
    return [python_with_torch(), "-W", "ignore", "-m", "torch.distributed.run", *options, *arguments]


def mpirun(*arguments: str | Path) -> list[str | Path]:
    """Return a command that runs four ranks."""
    options = ["--allow-run-as-root", "--oversubscribe", "-n", "4"]
    return [need_field("mpirun"), *options, *arguments]


def with_mpi4py(*arguments: str | Path) -> list[str | Path]:
    """Return a command that runs four ranks, which call MPI_Init."""
    need_field("mpi4py")
    return mpirun(sys.executable, "-c", f"import mpi4py.MPI\n{RANK}", *arguments[1:])


def test_torchrun(script: Path, tmp_path: Path, place: Path) -> None:
    path, before = tmp_path / "same.rrd", Machine.snapshot(place)
    run(torchrun(script, path))
    wait_for_end(place, before)
    assert count_rows(path) == all_rows(2)
    verify(path)


@pytest.mark.parametrize(
    "launch",
    [lambda script, path: mpirun(sys.executable, script, path), with_mpi4py],
    ids=["mpirun", "mpirun with mpi4py"],
)
def test_mpirun(launch: Callable[[Path, Path], list[str | Path]], script: Path, tmp_path: Path, place: Path) -> None:
    path, before = tmp_path / "same.rrd", Machine.snapshot(place)
    run(launch(script, path))
    wait_for_end(place, before)
    assert count_rows(path) == all_rows(4)
    verify(path)


def test_two_jobs_at_a_time_stay_apart(script: Path, tmp_path: Path, place: Path) -> None:
    paths, before = [tmp_path / "one.rrd", tmp_path / "two.rrd"], Machine.snapshot(place)
    # Open MPI makes one directory for a user's jobs, and may fail if two jobs begin it at once.
    directories = [{"OMPI_MCA_orte_tmpdir_base": tempfile.mkdtemp(dir=place)} for _ in paths]
    jobs_running = [
        subprocess.Popen(mpirun(sys.executable, script, path), env={**os.environ, **directory})
        for path, directory in zip(paths, directories, strict=True)
    ]
    assert [job.wait(120) for job in jobs_running] == [0, 0]
    wait_for_end(place, before)
    assert [count_rows(path) for path in paths] == [all_rows(4)] * 2
    assert recordings_in(paths[0]) != recordings_in(paths[1])


SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "3", "SLURM_CLUSTER_NAME": "test"}
ACCELERATE = {
    "ACCELERATE_MIXED_PRECISION": "no",
    "TORCHELASTIC_RUN_ID": "none",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "WORLD_SIZE": "3",
    "LOCAL_WORLD_SIZE": "3",
}


def of_slurm(rank: int) -> dict[str, str]:
    """Return the variables that srun gives a rank."""
    return {**SLURM, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}


def of_accelerate(rank: int) -> dict[str, str]:
    """Return the variables that `accelerate launch` gives a rank."""
    return {**ACCELERATE, "RANK": str(rank), "LOCAL_RANK": str(rank)}


def launched(
    start_python: StartPython, commands: Sequence[Sequence[str | Path]], variables: Sequence[Mapping[str, str]]
) -> Program:
    """Start a launcher of ranks, each with its command and variables."""
    ranks = [([str(part) for part in command], one) for command, one in zip(commands, variables, strict=True)]
    return start_python(LAUNCHER, json.dumps(ranks), fresh=True)


@pytest.mark.parametrize("variables_of", [of_slurm, of_accelerate], ids=["srun", "accelerate"])
def test_ranks_of_other_launchers(
    variables_of: Callable[[int], dict[str, str]],
    start_python: StartPython,
    script: Path,
    tmp_path: Path,
    place: Path,
) -> None:
    path, before = tmp_path / "same.rrd", Machine.snapshot(place)
    command: list[str | Path] = [sys.executable, script, path]
    launched(start_python, [command] * 3, [variables_of(rank) for rank in range(3)]).wait().check()
    wait_for_end(place, before)
    assert count_rows(path) == all_rows(3)


def test_ranks_that_end_early_die_or_come_late_cost_no_row_of_others(
    start_python: StartPython, script: Path, tmp_path: Path, place: Path
) -> None:
    """Rank 0 ends at once, rank 1 is killed, and rank 2 imports rerun_mp when the session of the others has ended."""
    path, gate, before = tmp_path / "same.rrd", tmp_path / "gate", Machine.snapshot(place)
    killed = f"{RANK}\nimport signal\nos.kill(os.getpid(), signal.SIGKILL)"
    late = f"{WAIT}\ndel sys.argv[1]\n{RANK}"
    commands: list[list[str | Path]] = [
        [sys.executable, script, path],
        [sys.executable, "-c", killed, path],
        [sys.executable, "-c", late, gate, path],
    ]
    with held(gate):
        launcher = launched(start_python, commands, [of_slurm(rank) for rank in range(3)])
        # Rank 1 may begin when the session of rank 0 has ended, and goes on with the file.
        wait_until(lambda: not before.leftovers().segments and saved_rows(path) == all_rows(2), what="two ranks")
    launcher.wait().check()
    wait_for_end(place, before)
    assert count_rows(path) == all_rows(3)
    verify(path)


RESTARTER = """
import json, os, subprocess, sys
ranks = json.loads(sys.argv[1])
for attempt in range(3):
    started = [subprocess.Popen(command, env={**os.environ, **variables}) for command, variables in ranks]
    assert [one.wait() for one in started] == [0] * len(ranks)
"""
"""Starts its ranks anew when they have ended, as torchrun does after a failure."""


def test_ranks_that_are_restarted_add_to_the_file_of_those_before(
    start_python: StartPython, script: Path, tmp_path: Path, place: Path
) -> None:
    path, before = tmp_path / "same.rrd", Machine.snapshot(place)
    ranks = [([sys.executable, str(script), str(path)], of_accelerate(rank)) for rank in range(2)]
    done = start_python(RESTARTER, json.dumps(ranks), fresh=True).wait().check()
    wait_for_end(place, before)
    assert count_rows(path) == {f"rank/{rank}": 3 * ROWS for rank in range(2)}
    verify(path)
    assert list(tmp_path.glob("*.rrd")) == [path]
    assert done.stderr == ""


def test_a_name_joins_programs_that_no_launcher_has_started(
    start_python: StartPython, script: Path, tmp_path: Path, place: Path
) -> None:
    path, before = tmp_path / "same.rrd", Machine.snapshot(place)
    command: list[str | Path] = [sys.executable, script, path]
    variables = [{JOB_VARIABLE: f"test {tmp_path}", "RANK": str(rank)} for rank in range(2)]
    launched(start_python, [command] * 2, variables).wait().check()
    wait_for_end(place, before)
    assert count_rows(path) == all_rows(2)


LIGHTNING = f"""
import os, subprocess, sys
started = []
if "LOCAL_RANK" not in os.environ:
    shared = {{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "0", "WORLD_SIZE": "2"}}
    os.environ.update(shared, LOCAL_RANK="0")
    started.append(subprocess.Popen([sys.executable, *sys.argv], env={{**os.environ, "LOCAL_RANK": "1"}}))
{RANK}
for one in started:
    one.wait()
"""
"""A script that starts its other ranks as Lightning does, and calls `init` after that."""


def test_a_script_that_starts_its_own_ranks(start_python: StartPython, tmp_path: Path, place: Path) -> None:
    path, before = tmp_path / "same.rrd", Machine.snapshot(place)
    done = start_python(LIGHTNING, path, fresh=True).wait().check()
    wait_for_end(place, before)
    assert count_rows(path) == all_rows(2)
    assert done.stderr == ""


def test_an_empty_name_keeps_ranks_apart(start_python: StartPython, script: Path, tmp_path: Path, place: Path) -> None:
    paths, before = [tmp_path / f"{rank}.rrd" for rank in range(2)], Machine.snapshot(place)
    commands: list[list[str | Path]] = [[sys.executable, script, path] for path in paths]
    launched(start_python, commands, [{**of_slurm(rank), JOB_VARIABLE: ""} for rank in range(2)]).wait().check()
    wait_for_end(place, before)
    assert [count_rows(path) for path in paths] == [{f"rank/{rank}": ROWS} for rank in range(2)]
    assert recordings_in(paths[0]) != recordings_in(paths[1])


def test_the_job_of_a_process_follows_from_its_environment_at_exec() -> None:
    found = [job_of(of_slurm(rank), os.getpid()) for rank in range(3)]
    assert found[0] is not None
    assert [job and job.text for job in found] == [found[0].text] * 3
    assert [job and job.local_rank for job in found] == [0, 1, 2]
    assert job_of({**of_slurm(0), "SLURM_STEP_ID": "1"}, os.getpid()) != found[0]
    assert job_of({**of_slurm(0), "SLURM_STEP_NUM_TASKS": "1"}, os.getpid()) is None
    assert job_of({}, os.getpid()) is None
    assert jobs.may_be_rank(of_slurm(0))
    assert not found[0].spans_hosts
    assert jobs.recording_key_of(found[0]) is None
    assert not jobs.may_be_rank({"RANK": "0"})


@pytest.mark.parametrize(
    ("alone", "changes"),
    [
        (of_slurm(0), {"SLURM_STEP_NUM_NODES": "2"}),
        (of_accelerate(0), {"WORLD_SIZE": "6"}),
        ({**of_accelerate(0), "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}, {"WORLD_SIZE": "2"}),
        (
            {"OMPI_COMM_WORLD_RANK": "0", "PMIX_NAMESPACE": "7", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"},
            {"OMPI_COMM_WORLD_SIZE": "4"},
        ),
        ({"PMI_RANK": "0", "I_MPI_HYDRA_UUID": "7", "MPI_LOCALNRANKS": "2", "PMI_SIZE": "2"}, {"PMI_SIZE": "4"}),
    ],
)
def test_hosts_of_one_job_derive_the_same_recordings(alone: dict[str, str], changes: dict[str, str]) -> None:
    """The key of a host's session is of no use to others: it holds facts of that host."""
    first = job_of({**alone, **changes}, os.getpid())
    other = job_of({**alone, **changes, "RANK": "5", "LOCAL_RANK": "1", "SLURM_PROCID": "5"}, 1)
    here = job_of(alone, os.getpid())
    assert first is not None
    assert other is not None
    assert first.spans_hosts
    assert jobs.recording_key_of(first) == jobs.recording_key_of(other) is not None
    assert jobs.key_of(first) != jobs.key_of(other)
    assert here is None or jobs.recording_key_of(here) is None


def test_a_run_of_torchrun_without_an_id_may_be_repeated() -> None:
    """The id is then the word none, in each run, and the master's address is all that the hosts know."""

    def job(run_id: str) -> Job:
        found = job_of(of_torchrun(1, 0) | {"TORCHELASTIC_RUN_ID": run_id}, os.getpid())
        assert found is not None
        return found

    first, second = job("run-1"), job("run-2")
    assert first.repeats == second.repeats == ""
    assert jobs.recording_key_of(first) != jobs.recording_key_of(second)
    assert job("none").repeats == "host1:29500"
