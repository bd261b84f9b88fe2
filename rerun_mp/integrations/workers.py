"""Rank, pid, host and name of this process among the workers of a program, as labels of its rows.

The rank comes from the environment variables of launchers (torchrun, MPI, Slurm), else from multiprocessing. Call
`identify` once, when a worker starts: in an initializer, a `worker_init_fn`, or the first line of its main function.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, NamedTuple

import rerun_mp as rr
from rerun_mp.errors import InvalidArgumentError
from rerun_mp.protection import is_protected

if TYPE_CHECKING:
    from rerun_mp.api.recording import RecordingStream
if TYPE_CHECKING or is_protected():
    from rerun_mp.api.rows import set_entity_prefix
else:
    from rerun_mp.plain import set_entity_prefix

__all__ = ["Worker", "identify", "this_worker"]

RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID", "GUNICORN_WORKER")
PROCESSES_ENTITY = "processes"


class Worker(NamedTuple):
    """One process among the workers of a program."""

    rank: int
    """The launcher's number; else multiprocessing's, from 1 on; 0 in the first process of a program."""
    pid: int
    host: str
    name: str
    """Multiprocessing's name, such as `SpawnPoolWorker-3`, or the program's file name."""


def this_worker(rank: int | None = None) -> Worker:
    """Return the labels of this process. `rank` overrides the rank that the launcher gave it.

    Examples
    --------
    >>> this_worker(3).rank
    3
    """
    process = sys.modules.get("multiprocessing.process")
    current = process.current_process() if process is not None else None
    if rank is None:
        rank = next((int(os.environ[name]) for name in RANKS if os.environ.get(name, "").isdecimal()), None)
    if rank is None:
        identity = getattr(current, "_identity", ())
        rank = int(identity[-1]) if identity else 0
    name = current.name if current is not None else os.path.basename(sys.argv[0] or "python")
    return Worker(rank, os.getpid(), socket.gethostname(), name)


def identify(
    *,
    prefix: str | None = None,
    log: bool = True,
    rank: int | None = None,
    recording: RecordingStream | None = None,
) -> Worker:
    """Label this process's rows, and return its labels.

    Parameters
    ----------
    prefix
        An entity path that stands before all entity paths of this process from now on. It may contain `{rank}`,
        `{pid}`, `{host}` and `{name}`, as in `"workers/{rank}"`. None: no prefix.
    log
        Whether to log rank, pid, host and name once, as components of a static row on `processes/<pid>`; in a job of
        several hosts, or with a head, on `processes/<host>/<pid>`.
    rank
        This worker's rank, if neither the launcher nor multiprocessing knows it.
    recording
        The recording that gets the row; by default the active one.

    Raises
    ------
    InvalidArgumentError
        If the prefix has another name in braces.

    Examples
    --------
    >>> from multiprocessing import Pool
    >>> from rerun_mp.integrations.workers import identify
    >>> Pool(4, initializer=identify)  # doctest: +SKIP
    """
    worker = this_worker(rank)
    if log:
        from rerun import AnyValues

        set_entity_prefix(None)
        path = f"{_processes_entity()}/{worker.pid}"
        rr.log(path, AnyValues(**worker._asdict()), static=True, recording=recording)
    if prefix is not None:
        fields = {name: _as_part(str(value)) for name, value in worker._asdict().items()}
        try:
            prefix = prefix.format(**fields)
        except (KeyError, IndexError, ValueError) as error:
            raise InvalidArgumentError(
                f"prefix {prefix!r} has a name in braces that is none of {', '.join(fields)}"
            ) from error
    set_entity_prefix(prefix)
    return worker


def _processes_entity() -> str:
    if not is_protected():
        return PROCESSES_ENTITY
    from rerun_mp.session import current
    from rerun_mp.session.host_names import host_entity

    return host_entity(current.host(), PROCESSES_ENTITY)


def _as_part(text: str) -> str:
    """Return a text as one part of an entity path, with backslashes before special characters."""
    return "".join(one if one.isalnum() or one in "-_." else f"\\{one}" if one.isascii() else one for one in text)
