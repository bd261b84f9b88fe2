"""Which job of a launcher this process is a rank of: torchrun, mpirun, srun, accelerate and the like.

The ranks of a job on one host are started by one process, the launcher: mpirun, torchrun's agent, Slurm's step daemon.
They share nothing else: no authkey, and no variable that one of them could set for the others. So each derives the
session's key from the job's variables and from its launcher. A job with one rank on a host needs no key.

The hosts of a job share nothing at all. The job's variables are equal on them, so they give a job that spans hosts the
same recording ids everywhere. Each host's session has a key of its own, with facts that other users cannot read.

The environment at exec counts: a program that sets RANK for itself is no rank. Lightning is the exception: the script
that the user starts is rank 0, sets its own variables, and starts the other ranks. Any thread may call.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.encoding.ids import job_key
from rerun_mp.session.kinship import ancestors, argument_of, boot_id, environment_of, program_mark, start_ticks
from rerun_mp.standard_error import tell

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JOB_VARIABLE", "Job", "job_of", "key_of", "may_be_rank", "recording_key_of", "tell_if_repeated", "this_job"]

JOB_VARIABLE = "RERUN_MP_JOB"
"""A name that the user gives the job; empty: this process is in no job."""

LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
"""Addresses of a master that no other host can reach."""

_has_told = False
"""Whether `tell_if_repeated` has looked. A forked child inherits it."""


class Launcher(NamedTuple):
    """The variables of a kind of launcher."""

    kind: str
    marks: tuple[str, ...]
    """Variables that each rank has, and the launcher has not. The first one is looked for in ancestors."""
    ids: tuple[str, ...]
    """Variables that are equal in all ranks of a job. Those that are set make up its name."""
    sizes: tuple[str, ...]
    """Variables with the number of ranks on this host, or else of all ranks. The first that is set counts."""
    local_rank: tuple[str, ...]
    """Variables with the rank's number on this host. The first that is set counts."""
    rank: str
    local_size: tuple[str, ...] = ()
    """Variables with the number of ranks on this host."""
    world_size: str = ""
    """Variable with the number of all ranks: the job spans hosts if it is greater than `local_size`."""
    nodes: tuple[str, ...] = ()
    """Variables with the number of hosts. The first that is set counts."""
    id_argument: str = ""
    """Option of the program that starts the ranks of a host. It names the job if no variable does."""


LAUNCHERS = (
    # torchrun, and accelerate, which calls it. Source: `_start_workers` of PyTorch's local_elastic_agent.py.
    Launcher(
        "torchrun",
        ("TORCHELASTIC_RUN_ID", "RANK"),
        ("TORCHELASTIC_RUN_ID",),
        ("LOCAL_WORLD_SIZE", "WORLD_SIZE"),
        ("LOCAL_RANK",),
        "RANK",
        ("LOCAL_WORLD_SIZE",),
        "WORLD_SIZE",
        ("GROUP_WORLD_SIZE",),
    ),
    Launcher(
        "openmpi",
        ("OMPI_COMM_WORLD_RANK",),
        # The first two have few random bits, and the third is not in every version.
        ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "OMPI_MCA_orte_precondition_transports"),
        ("OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_SIZE"),
        ("OMPI_COMM_WORLD_LOCAL_RANK",),
        "OMPI_COMM_WORLD_RANK",
        ("OMPI_COMM_WORLD_LOCAL_SIZE",),
        "OMPI_COMM_WORLD_SIZE",
    ),
    Launcher(
        "flux",
        ("FLUX_TASK_RANK", "FLUX_JOB_ID"),
        ("FLUX_JOB_ID",),
        ("FLUX_JOB_SIZE",),
        ("FLUX_TASK_LOCAL_ID",),
        "FLUX_TASK_RANK",
        nodes=("FLUX_JOB_NNODES",),
    ),
    # MPICH and Intel MPI (Hydra), and Cray's PALS. MPICH has no variable that names the job, and PMI_ID is a rank.
    Launcher(
        "pmi",
        ("PMI_RANK",),
        ("I_MPI_HYDRA_UUID", "PALS_APID", "PMI_JOBID"),
        ("MPI_LOCALNRANKS", "PMI_LOCAL_SIZE", "PMI_SIZE"),
        ("MPI_LOCALRANKID", "PMI_LOCAL_RANK"),
        "PMI_RANK",
        ("MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"),
        "PMI_SIZE",
        id_argument="--control-port",
    ),
    Launcher(
        "slurm",
        ("SLURM_PROCID", "SLURM_STEP_ID"),
        ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"),
        ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
        ("SLURM_LOCALID",),
        "SLURM_PROCID",
        nodes=("SLURM_STEP_NUM_NODES", "SLURM_NNODES"),
    ),
    # DeepSpeed, accelerate with DeepSpeed, and scripts that follow PyTorch's convention.
    Launcher(
        "torch",
        ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"),
        ("MASTER_ADDR", "MASTER_PORT"),
        ("LOCAL_WORLD_SIZE", "WORLD_SIZE"),
        ("LOCAL_RANK",),
        "RANK",
        ("LOCAL_WORLD_SIZE", "LOCAL_SIZE"),
        "WORLD_SIZE",
        ("CROSS_SIZE",),
    ),
    # Lightning's own launcher, whose ranks have no RANK. Source: its `_SubprocessScriptLauncher`.
    Launcher(
        "lightning",
        ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR"),
        ("MASTER_ADDR", "MASTER_PORT"),
        ("WORLD_SIZE",),
        ("LOCAL_RANK",),
        "",
    ),
)
"""In the order in which they count, if a process has the variables of several."""


class Job(NamedTuple):
    """A job that a process is a rank of."""

    text: str
    """Equal in all ranks of the job on this host, and different for any other job."""
    local_rank: int | None
    """The rank's number on this host; None if the launcher gives none."""
    rank: int | None = None
    """The rank's number in the whole job; None if the launcher gives none."""
    name: str = ""
    """For people: the launcher and the job's variables, or the user's name. Equal in all ranks on all hosts."""
    spans_hosts: bool = False
    """Whether the launcher says that the job has ranks on other hosts."""
    is_named: bool = False
    """Whether the user has named the job."""
    has_id: bool = True
    """Whether the launcher or the user gives all hosts of the job something in common."""
    repeats: str = ""
    """The address that is all that the hosts know of this run, if the launcher has no id for it; else empty."""
    restarter: tuple[int, int] | None = None
    """The process that starts the ranks of this host anew when one fails: its id, and when it was started."""


def this_job() -> Job | None:
    """Return the job of this process; None if it is no rank."""
    named = os.environ.get(JOB_VARIABLE)
    environment = environment_of("self") or dict(os.environ)
    if _has_started_ranks(environment):
        return job_of(dict(os.environ), os.getpid(), started_by=os.getpid())
    return job_of({**environment, **({} if named is None else {JOB_VARIABLE: named})}, os.getpid())


def may_be_rank(environment: Mapping[str, str]) -> bool:
    """Say whether a process with this environment may be a rank of a job. Looks at no other process."""
    return JOB_VARIABLE in environment or _launcher_of(environment) is not None


def job_of(environment: Mapping[str, str], pid: int, *, started_by: int = 0) -> Job | None:
    """Return the job of the process `pid`, which has this environment; None if it is no rank.

    `started_by`: the process that started the ranks; 0: the first ancestor without their variables.
    """
    launcher = _launcher_of(environment)
    local_rank = None if launcher is None else _number(environment, *launcher.local_rank)
    rank = None if launcher is None else _number(environment, launcher.rank)
    spans_hosts = launcher is not None and _spans_hosts(launcher, environment)
    named = environment.get(JOB_VARIABLE)
    if named is not None:
        text = f"name {os.geteuid()} {named}"
        return Job(text, local_rank, rank, named, spans_hosts, is_named=True) if named else None
    if launcher is None:
        return None
    if not started_by:
        started_by = next((one for one in ancestors(pid) if launcher.marks[0] not in environment_of(one)), 0)
    if launcher.kind == "lightning":
        started_by = _first_of_program(started_by)
    ids = _ids(launcher, environment, started_by)
    facts = [
        launcher.kind,
        *ids,
        str(os.geteuid()),
        boot_id(),
        # The process that started all ranks. Other users cannot read its mark, so they cannot guess the session's name.
        f"{started_by} {start_ticks(started_by)} {program_mark(started_by)}",
    ]
    name, repeats = " ".join([launcher.kind, *filter(None, ids)]), _repeats(launcher, environment)
    restarter = (started_by, start_ticks(started_by)) if launcher.kind == "torchrun" else None
    return Job(
        "\0".join(facts),
        local_rank,
        rank,
        name,
        spans_hosts,
        has_id=any(ids),
        repeats=repeats,
        restarter=restarter,
    )


def key_of(job: Job) -> bytes:
    """Return the key of the session of a job's ranks."""
    return job_key(job.text)


def recording_key_of(job: Job) -> bytes | None:
    """Return the key from which all hosts of a job derive the ids of recordings; None if each host has its own."""
    is_shared = job.is_named or (job.spans_hosts and job.has_id)
    return job_key(f"recordings {job.name}") if is_shared else None


def tell_if_repeated() -> None:
    """Let rank 0 warn once if the job's hosts cannot agree on the recording's id, or if the next run may repeat it.

    torchrun gives each run that has no `--rdzv-id` the id "none". Hosts that cannot talk to each other then agree on
    nothing but the master's address and port. Other launchers give hosts nothing in common.
    """
    global _has_told
    if _has_told:
        return
    _has_told = True
    job = this_job()
    if job is None or not job.spans_hosts or job.rank != 0:
        return
    if not job.has_id:
        tell(
            f"rerun_mp: the launcher gives the hosts of this job no common id, so each host logs into a recording of "
            f"its own. Set {JOB_VARIABLE} to the same name on all hosts.\n"
        )
    elif job.repeats:
        tell(
            f"rerun_mp: the launcher gave this run no id, so a later run with the same master, {job.repeats}, logs "
            f"into the same recording. Give each run an id: torchrun --rdzv-id, or {JOB_VARIABLE}.\n"
        )


def _has_started_ranks(environment: Mapping[str, str]) -> bool:
    """Say whether this program is rank 0 of a job and starts its other ranks. `environment`: what it had at exec."""
    if "LOCAL_RANK" in environment or os.environ.get("LOCAL_RANK") != "0":
        return False
    launcher = _launcher_of(os.environ)
    return launcher is not None and launcher.kind == "lightning"


def _first_of_program(pid: int) -> int:
    """Return the process that called exec, of which `pid` is a fork, or a fork of a fork."""
    mark = program_mark(pid)
    for one in ancestors(pid):
        if not mark or program_mark(one) != mark:
            break
        pid = one
    return pid


def _ids(launcher: Launcher, environment: Mapping[str, str], started_by: int) -> list[str]:
    """Return the texts that make up the job's name. If all are empty, the job has none."""
    names = launcher.ids
    if environment.get("TORCHELASTIC_RUN_ID") == "none":
        # Otherwise the address does not count: PyTorch chooses another port when it restarts the ranks.
        names = (*names, "MASTER_ADDR", "MASTER_PORT")
    ids = [environment.get(name, "") for name in names]
    return ids if any(ids) or not launcher.id_argument else [argument_of(started_by, launcher.id_argument)]


def _repeats(launcher: Launcher, environment: Mapping[str, str]) -> str:
    has_id = launcher.kind != "torch" and environment.get("TORCHELASTIC_RUN_ID") != "none"
    return "" if has_id else ":".join(environment.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT"))


def _launcher_of(environment: Mapping[str, str]) -> Launcher | None:
    """Return the launcher that set this environment for a rank. None: no rank, or the only one of its job."""
    for launcher in LAUNCHERS:
        if all(name in environment for name in launcher.marks):
            if launcher.kind == "pmi" and _is_of_srun(environment):
                continue
            size = _first(environment, launcher.sizes)
            if size != "1" or _spans_hosts(launcher, environment):
                return launcher
    return None


def _is_of_srun(environment: Mapping[str, str]) -> bool:
    """Say whether srun started this rank, and not a launcher that srun has started on each host, as Hydra does."""
    same = (("SLURM_PROCID", "PMI_RANK"), ("SLURM_STEP_NUM_TASKS", "PMI_SIZE"))
    return all(environment.get(mine, "") == environment.get(theirs) for mine, theirs in same)


def _spans_hosts(launcher: Launcher, environment: Mapping[str, str]) -> bool:
    nodes, local = _first(environment, launcher.nodes), _first(environment, launcher.local_size)
    if nodes.isdecimal() and int(nodes) > 1:
        return True
    if launcher.kind == "torch" and not nodes and not local:
        # The ranks of the first host cannot see whether there are others. All ranks have the same address.
        return environment["MASTER_ADDR"] not in LOOPBACK
    world = _number(environment, launcher.world_size)
    return local.isdecimal() and world is not None and world > int(local)


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name] for name in names if name in environment), "")


def _number(environment: Mapping[str, str], *names: str) -> int | None:
    text = _first(environment, names)
    return int(text) if text.isdecimal() else None
