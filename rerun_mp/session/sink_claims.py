"""Claims the paths of file sinks for a session, while its configuration is edited. Any process and thread may call."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from rerun_mp.errors import InvalidArgumentError, ResourceError
from rerun_mp.session import identity, kinship
from rerun_mp.session.file_claims import claim_beside, claim_file, claim_first, is_in_place
from rerun_mp.session.notices import say
from rerun_mp.session.ownership import BusyError, Taken, take_path, tell_of_beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.config import SinkSpec
    from rerun_mp.session.session import Session

__all__ = ["as_successor", "await_earlier_runs", "claim_or_beside", "claim_target"]


def as_successor(session: Session, key: RecordingKey, sink: SinkSpec) -> SinkSpec:
    """Return the sink that adds to its file if workers that this process replaces have written it; else the same."""
    parent = kinship.multiprocessing_parent() or kinship.forked_from()
    is_default = key.recording_id == session.default_recording_id(key.application_id)
    if not parent or session.is_shared or session.is_rank:
        return sink
    # A process whose parent takes part replaces nobody: its session goes on.
    inodes = frozenset((session.segment.inode,))
    if any(kinship.uses_segment(pid, inodes) for pid in kinship.ancestors(os.getpid())):
        return sink
    from rerun_mp.session import earlier_files

    is_alone = identity.is_own_root(session.segment.root)
    is_proof = is_default and identity.is_key_of_one_run(session.key)
    return earlier_files.as_successor(
        session.segment, sink, key, parent, is_default=is_default, is_proof=is_proof, is_alone=is_alone
    )


def await_earlier_runs(session: Session, sinks: Sequence[SinkSpec]) -> None:
    """Wait until earlier runs have completed the files that these sinks add to. Raises as `earlier_files`."""
    if any(sink.is_added_to for sink in sinks):
        from rerun_mp.session import earlier_files

        for sink in sinks:
            earlier_files.await_earlier_runs(session.segment, sink)


def claim_or_beside(
    session: Session,
    key: RecordingKey,
    sink: SinkSpec,
    claims: Mapping[str, SinkSpec],
    ours: frozenset[str],
    taken: list[Taken],
) -> SinkSpec:
    """Claim the path of a sink if the program has not chosen the mode for this recording. Parameters as `claim_target`.

    If no recording there can go on, this one is added, or has a file beside it.
    """
    failures: list[InvalidArgumentError | ResourceError] = []
    for one in dict.fromkeys((sink, replace(sink, mode="append") if sink.is_added_to else sink)):
        try:
            return claim_target(session, key, one, claims, ours, taken)
        except (InvalidArgumentError, ResourceError) as error:
            if not sink.is_added_to:
                raise
            failures.append(error)
    wanted = sink.wanted or sink.target
    path, claim = claim_beside(wanted)
    if isinstance(failures[0], BusyError):
        tell_of_beside(wanted, path)
    else:
        for failure in failures:
            say(str(failure))
        say(f"the rows of recording {key.recording_id} go to {path}")
    return replace(sink, target=path, claim=claim, wanted=wanted, mode="new")


def claim_target(
    session: Session,
    key: RecordingKey,
    sink: SinkSpec,
    claims: Mapping[str, SinkSpec],
    ours: frozenset[str],
    taken: list[Taken],
) -> SinkSpec:
    """Claim the path of a file sink, unless the recording's file is there already. Adds what was claimed to `taken`.

    A sink that has a store of its own keeps it.

    Parameters
    ----------
    key
        The recording.
    claims
        The recording's other sinks, and those that the new ones replace, by target.
    ours
        Paths of files that other sinks of the session have had until now.
    """
    if sink.kind != "file":
        return replace(sink, has_own_store=sink.target in claims and claims[sink.target].has_own_store)
    if os.path.exists(sink.target) and not os.path.isfile(sink.target):
        return sink
    if sink.target in claims:
        known = claims[sink.target]
        return replace(
            sink,
            claim=known.claim,
            wanted=known.wanted,
            is_in_place=known.is_in_place,
            has_own_store=known.has_own_store,
            episodes=max(known.episodes, sink.episodes),
            mode=known.mode,
            recording_id=known.recording_id,
            began_ns=known.began_ns,
        )
    if sink.is_added_to:
        if sink.target in ours:
            raise InvalidArgumentError(
                f"{sink.target} is the file of another recording of this session; call its disconnect() first"
            )
        from rerun_mp.session import earlier_files

        is_own_id = key.recording_id != session.default_recording_id(key.application_id)
        sink = earlier_files.keep_file(sink, key, is_own_id=is_own_id)
        if sink.is_added_to:
            return sink
    if sink.rotation is not None:
        from rerun_mp.session.rotation import part_paths

        found = Taken(*claim_first(path for _, path in part_paths(sink.target)))
    elif sink.target in ours:
        found = Taken(sink.target, claim_file(sink.target, session.segment.nonce.hex()[:8]))
    else:
        found = take_path(session.segment, sink.target)
    taken.append(found)
    return replace(
        sink,
        target=found.path,
        claim=found.claim,
        wanted=sink.target if found.path != sink.target else sink.wanted,
        is_in_place=is_in_place(found.path),
    )
