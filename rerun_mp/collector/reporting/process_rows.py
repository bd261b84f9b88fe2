"""Logs one row for each process of a node: host, job, rank and process id, and its first row-id counter.

They are on `/__rerun_mp/<host>/processes/<pid>`. A row of the recording belongs to the process with the greatest
`first_row` that is not above the counter half of the row's id. Sessions that are no nodes log no such rows. Used by the
worker's main thread only.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rerun_mp.collector.drain.own_chunks import properties_chunk
from rerun_mp.collector.reporting.own_entities import MAX_RECORDINGS, own_entity
from rerun_mp.session.accounts import live_account
from rerun_mp.session.jobs import job_of
from rerun_mp.session.kinship import environment_of
from rerun_mp.shm.layout import unpack_owner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rerun_mp.collector.drain.chunks import ChunkBatch
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.accounts import Account
    from rerun_mp.session.config import NodeSpec
    from rerun_mp.session.jobs import Job
    from rerun_mp.shm.segment import Segment

__all__ = ["ProcessRows"]


class ProcessRows:
    """Logs a row for each new producer, if the session is a node."""

    def __init__(self, segment: Segment, outputs: Outputs) -> None:
        self._segment = segment
        self._outputs = outputs
        self._new: list[tuple[Account, Job | None]] = []
        self.node: NodeSpec | None = None
        """The node that the session is, from the configuration."""

    def note(self, owners: Iterable[int]) -> None:
        """Look at producers from which the first rows have been taken, while their processes live."""
        if self.node is None:
            return
        for owner in owners:
            account = live_account(self._segment, unpack_owner(owner)[0])
            if account is not None:
                self._new.append((account, job_of(environment_of(account.pid), account.pid)))

    def log(self) -> None:
        """Log the rows of the producers that were noted."""
        if self._new and self.node is not None:
            recordings = self._outputs.recordings()[:MAX_RECORDINGS]
            self._outputs.add(
                [
                    _chunk(key, account, job, self.node, self._segment.nonce)
                    for account, job in self._new
                    for key in recordings
                ]
            )
            self._new.clear()


def _chunk(recording: RecordingKey, account: Account, job: Job | None, node: NodeSpec, nonce: bytes) -> ChunkBatch:
    values: dict[str, int | str] = {
        "host": node.host,
        "session": nonce.hex()[:16],
        "pid": account.pid,
        "process": account.name,
        "first_row": account.first_row,
        "job": node.job,
    }
    if job is not None and job.rank is not None:
        values["rank"] = job.rank
    if job is not None and job.local_rank is not None:
        values["local_rank"] = job.local_rank
    names = (*recording, nonce.hex(), str(account.first_row))
    identity = hashlib.blake2b("\0".join(names).encode(), digest_size=8).digest()
    entity = own_entity(node and node.host, f"processes/{account.pid}")
    return properties_chunk(recording, entity, values, identity, account.started_ns)
