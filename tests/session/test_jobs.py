"""Which job a process is a rank of, for the variables of each launcher.

The tables hold the variables that the launchers set, as read in their sources or in the environment of a rank.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from rerun_mp.session.jobs import Job, job_of, key_of, may_be_rank, recording_key_of, tell_if_repeated

Variables = Mapping[str, str]

TORCHRUN = {"GROUP_WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4", "ROLE_NAME": "default"}
HYDRA = {"MPI_LOCALNRANKS": "2", "PMI_SIZE": "4"}
SLURM = {
    "SLURM_CLUSTER_NAME": "c",
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_NTASKS": "4",
}
OPENMPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}


class Case(NamedTuple):
    """A launcher with two ranks on each of two hosts."""

    launcher: str
    first: Variables
    """Variables of rank 0, on the first host."""
    last: Variables
    """Variables of rank 3, on the second host, as far as they differ."""
    later: Variables
    """Variables of the next job that differ from those of the first."""


CASES = [
    Case(
        "torchrun, static",
        {**TORCHRUN, "TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "a", "MASTER_PORT": "1", "RANK": "0"}
        | {"LOCAL_RANK": "0", "GROUP_RANK": "0"},
        {"RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1"},
        {"MASTER_PORT": "2"},
    ),
    Case(
        "torchrun, c10d; the later versions give their ranks the agent's store",
        {**TORCHRUN, "TORCHELASTIC_RUN_ID": "17", "MASTER_ADDR": "a", "MASTER_PORT": "1", "RANK": "0"}
        | {"LOCAL_RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "False"},
        {"RANK": "3", "LOCAL_RANK": "1"},
        {"TORCHELASTIC_RUN_ID": "18"},
    ),
    Case(
        "torch.distributed.launch of PyTorch 1.8",
        {"MASTER_ADDR": "a", "MASTER_PORT": "1", "WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0"},
        {"RANK": "3", "LOCAL_RANK": "1"},
        {"MASTER_PORT": "2"},
    ),
    Case(
        "DeepSpeed",
        {"MASTER_ADDR": "a", "MASTER_PORT": "1", "WORLD_SIZE": "4", "CROSS_SIZE": "2", "LOCAL_SIZE": "2"}
        | {"RANK": "0", "LOCAL_RANK": "0", "CROSS_RANK": "0"},
        {"RANK": "3", "LOCAL_RANK": "1", "CROSS_RANK": "1"},
        {"MASTER_PORT": "2"},
    ),
    Case(
        "Open MPI 4",
        {**OPENMPI, "PMIX_NAMESPACE": "7", "OMPI_MCA_ess_base_jobid": "7", "OMPI_COMM_WORLD_RANK": "0"}
        | {"OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_MCA_orte_precondition_transports": "3695db5bf8c09665-1"},
        {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
        {"OMPI_MCA_orte_precondition_transports": "3695db5bf8c09665-2"},
    ),
    Case(
        "Open MPI 5",
        {**OPENMPI, "PMIX_NAMESPACE": "prterun-a-7@1", "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_LOCAL_RANK": "0"},
        {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
        {"PMIX_NAMESPACE": "prterun-a-8@1"},
    ),
    Case(
        "Intel MPI 2021",
        {**HYDRA, "I_MPI_HYDRA_UUID": "140d0000-1c58", "PMI_RANK": "0", "MPI_LOCALRANKID": "0", "PMI_FD": "9"},
        {"PMI_RANK": "3", "MPI_LOCALRANKID": "1", "PMI_FD": "11"},
        {"I_MPI_HYDRA_UUID": "2b0d0000-49fc"},
    ),
    Case(
        "PALS of Cray",
        {"PALS_APID": "a-1", "PMI_RANK": "0", "PMI_SIZE": "4", "PMI_LOCAL_RANK": "0", "PMI_LOCAL_SIZE": "2"},
        {"PMI_RANK": "3", "PMI_LOCAL_RANK": "1"},
        {"PALS_APID": "a-2"},
    ),
    Case(
        "srun",
        {**SLURM, "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        {"SLURM_PROCID": "3", "SLURM_LOCALID": "1"},
        {"SLURM_STEP_ID": "1"},
    ),
    Case(
        "srun --mpi=pmi2",
        {**SLURM, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "PMI_RANK": "0", "PMI_SIZE": "4", "PMI_JOBID": "7.0"},
        {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "PMI_RANK": "3"},
        {"SLURM_STEP_ID": "1", "PMI_JOBID": "7.1"},
    ),
    Case(
        "srun --mpi=pmix",
        {**SLURM, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "PMIX_NAMESPACE": "slurm.pmix.7.0", "PMIX_RANK": "0"},
        {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "PMIX_RANK": "3"},
        {"SLURM_STEP_ID": "1", "PMIX_NAMESPACE": "slurm.pmix.7.1"},
    ),
    Case(
        "mpiexec of Intel MPI in a Slurm allocation, which starts one proxy a host with srun",
        {**SLURM, **HYDRA, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
        | {"I_MPI_HYDRA_UUID": "140d0000-1c58", "PMI_RANK": "0", "MPI_LOCALRANKID": "0"},
        {"SLURM_PROCID": "1", "PMI_RANK": "3", "MPI_LOCALRANKID": "1"},
        {"I_MPI_HYDRA_UUID": "2b0d0000-49fc"},
    ),
    Case(
        "Flux",
        {"FLUX_JOB_ID": "f1", "FLUX_JOB_SIZE": "4", "FLUX_JOB_NNODES": "2", "FLUX_TASK_RANK": "0"}
        | {"FLUX_TASK_LOCAL_ID": "0", "PMI_RANK": "0", "PMI_SIZE": "4", "PMI_FD": "9"},
        {"FLUX_TASK_RANK": "3", "FLUX_TASK_LOCAL_ID": "1", "PMI_RANK": "3"},
        {"FLUX_JOB_ID": "f2"},
    ),
]


def job(variables: Variables, pid: int | None = None) -> Job:
    """Return the job of a process with these variables, started as this one."""
    found = job_of(variables, pid or os.getpid())
    assert found is not None
    return found


@pytest.mark.parametrize("case", CASES, ids=[case.launcher for case in CASES])
def test_hosts_of_one_job_have_one_recording_and_two_jobs_have_two(case: Case) -> None:
    first, last, later = job(case.first), job({**case.first, **case.last}), job({**case.first, **case.later})
    assert may_be_rank(case.first)
    assert [(one.rank, one.local_rank) for one in (first, last)] == [(0, 0), (3, 1)]
    assert key_of(first) == key_of(last), "ranks of one host are one session"
    assert recording_key_of(first) == recording_key_of(last) is not None
    assert recording_key_of(first) != recording_key_of(later)
    assert key_of(first) != key_of(later)


def test_ranks_that_torchrun_restarts_stay_in_their_recording() -> None:
    """With the backend c10d, PyTorch chooses another port for each start of the ranks, and perhaps another master."""
    first = CASES[1].first
    restarted = {**first, "MASTER_ADDR": "b", "MASTER_PORT": "9", "TORCHELASTIC_RESTART_COUNT": "1"}
    assert key_of(job(restarted)) == key_of(job(first))
    assert recording_key_of(job(restarted)) == recording_key_of(job(first))


PROXY = """
import os, subprocess, sys
subprocess.run([sys.executable, "-c", sys.stdin.read()], env={**os.environ, "PMI_RANK": sys.argv[-1]}, check=True)
"""
RANK = """
import os
from rerun_mp.session.jobs import recording_key_of, this_job
job = this_job()
print(job.name, job.rank, (recording_key_of(job) or b"").hex())
"""


def test_mpich_names_a_job_by_the_address_of_its_launcher() -> None:
    """It gives ranks no variable that names the job. On each host, a proxy with this address starts them."""

    def said(port: str, rank: str) -> list[str]:
        command = [sys.executable, "-c", PROXY, "--control-port", f"host1:{port}", "--rmk", "user", rank]
        environment = {**os.environ, **HYDRA}
        return subprocess.run(
            command, input=RANK, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    first, last, later = said("38063", "0"), said("38063", "3"), said("38064", "0")
    assert first[:3] == ["pmi", "host1:38063", "0"]
    assert last == [*first[:2], "3", first[3]]
    assert later[3] != first[3]


def test_hosts_that_have_no_id_in_common_share_no_recording(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise all jobs of such a launcher were one recording. Rank 0 says what to do."""
    variables = {**HYDRA, "PMI_RANK": "0", "PMI_ID": "0"}
    nameless = job(variables)
    assert nameless.spans_hosts
    assert recording_key_of(nameless) is None
    named = job({**variables, "RERUN_MP_JOB": "mine"})
    assert recording_key_of(named) is not None
    for found in (named, nameless, nameless):
        monkeypatch.setattr("rerun_mp.session.jobs.this_job", lambda found=found: found)
        monkeypatch.setattr("rerun_mp.session.jobs._has_told", False)
        tell_if_repeated()
        tell_if_repeated()
        said = capsys.readouterr().err
        assert said.count("Set RERUN_MP_JOB to the same name on all hosts.") == (found is nameless)


@pytest.mark.parametrize(
    "variables",
    [
        {"RANK": "0"},
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost"},
        {"PMI_RANK": "0", "PMI_SIZE": "1", "MPI_LOCALNRANKS": "1"},
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"},
        {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "RANK": "0"},
    ],
)
def test_a_process_alone_is_no_rank(variables: Variables) -> None:
    assert job_of(variables, os.getpid()) is None


def test_a_script_whose_master_is_this_host_spans_no_hosts() -> None:
    variables = {**CASES[2].first, "MASTER_ADDR": "127.0.0.1"}
    assert not job(variables).spans_hosts
    assert recording_key_of(job(variables)) is None
