"""Changes a session's recordings and their sinks, in its configuration, on behalf of one of its processes.

Changes of sinks are barriers: what any process has logged before goes to the old sinks. Any thread may call.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rerun_mp.errors import FlushTimeoutError
from rerun_mp.session import ancestry
from rerun_mp.session.config import Blueprint, RecordingSpec, Scope
from rerun_mp.session.kinship import multiprocessing_parent
from rerun_mp.session.notices import say
from rerun_mp.session.ownership import Taken, await_former_owners
from rerun_mp.session.sink_claims import as_successor, await_earlier_runs, claim_or_beside, claim_target
from rerun_mp.session.waiting import wait_until
from rerun_mp.shm.layout import Header

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.config import SessionConfig, SinkSpec
    from rerun_mp.session.session import Session

__all__ = [
    "add_default_sinks",
    "checkpoint",
    "deliver",
    "next_episode",
    "register_recording",
    "send_blueprint",
    "set_default_sinks",
    "set_paused",
    "set_sinks",
    "shared_sinks",
]


def register_recording(session: Session, key: RecordingKey, *, make_default: bool, start_time_ns: int | None) -> bool:
    """Make a recording known. True if it is new to the session; only then does its start time count.

    The first default stays, unless the session's founder sets another.
    """
    is_new = False
    taken: list[Taken] = []

    def change(config: SessionConfig) -> SessionConfig:
        nonlocal is_new
        is_new = config.recording(key) is None
        default = key if make_default and (config.default is None or session.is_founder) else config.default
        if is_new:
            sinks = tuple(
                claim_or_beside(session, key, sink, {}, frozenset(), taken) for sink in config.default_sinks_of(key)
            )
            # Any rank of a job may come first. The sinks of the job's first rank take the recording that all share.
            is_common = session.is_rank and key.recording_id == session.default_recording_id(key.application_id)
            founder = 0 if is_common else _owner(session)
            spec = RecordingSpec(*key, start_time_ns=start_time_ns, founder=founder, is_shared=session.is_shared)
            config = config.with_recording(spec.with_sinks(sinks))
        # Each process of a node with a head waits for the parts, because none knows which of them ends last.
        session.must_complete |= config.node is not None and bool(config.node.parts)
        return replace(config, default=default)

    session.config_editor.edit(change)
    for one in taken:
        await_former_owners(one)
    return is_new


def set_default_sinks(session: Session, sinks: Sequence[SinkSpec]) -> None:
    """Give these sinks to every recording that begins from now on, for all rows of that recording.

    Raises
    ------
    ResourceError
        If a sink adds to a file that earlier runs have not completed, as `earlier_files.await_earlier_runs`.
    """
    await_earlier_runs(session, sinks)
    session.config_editor.edit(lambda config: replace(config, default_sinks=tuple(sinks)))
    session.must_complete = True


def add_default_sinks(session: Session, sinks: Sequence[SinkSpec]) -> None:
    """Give these sinks to every recording of the session, those that have begun and those that will, for all rows.

    Raises as `set_default_sinks`.
    """
    await_earlier_runs(session, sinks)
    taken: list[Taken] = []

    def change(config: SessionConfig) -> SessionConfig:
        known = {(one.kind, one.wanted or one.target) for one in config.default_sinks}
        fresh = tuple(sink for sink in sinks if (sink.kind, sink.target) not in known)
        config = replace(config, default_sinks=(*config.default_sinks, *fresh))
        for spec in config.recordings:
            has = {(one.kind, path) for one in spec.sinks for path in (one.target, one.wanted)}
            new = [sink for sink in config.default_sinks if (sink.kind, sink.target) not in has]
            if new:
                given = replace(config, default_sinks=tuple(new)).default_sinks_of(spec.key)
                claimed = tuple(claim_or_beside(session, spec.key, sink, {}, frozenset(), taken) for sink in given)
                config = config.with_recording(
                    spec.with_sinks((*spec.sinks, *claimed), {one.target for one in spec.sinks})
                )
        return config

    revision = session.config_editor.edit(change)
    for one in taken:
        await_former_owners(one)
    session.must_complete = True
    _await_applied(session, revision, session.settings.exit_timeout)


def set_sinks(session: Session, key: RecordingKey, sinks: Sequence[SinkSpec]) -> None:
    """Replace the sinks of a recording that this process set. Returns when its replaced files are complete.

    Sinks of the session's founder, and of the process that began the recording, take all rows of it. Sinks of another
    process take, in addition, the rows that it and its descendants log from now on.

    Raises
    ------
    FlushTimeoutError
        If the old sinks take longer than the session's exit timeout.
    InvalidArgumentError, ResourceError
        If a sink adds to a file, as `earlier_files.await_earlier_runs` and `keep_file`.
    """
    owner, timeout = _owner(session), session.settings.exit_timeout
    replaced = _own_sinks(session, key)
    sinks = [_at_taken_path(session.config(), key, sink) for sink in sinks]
    taken: list[Taken] = []
    if any(sink.checkpoints and sink.target in {one.target for one in sinks} for sink in replaced):
        # The file is complete for readers. Setting it again means to write it anew.
        set_sinks(session, key, ())
        replaced = []
    elif replaced:
        deliver(session, timeout)
    own = {one.target for one in _files_of(session.config(), key)}
    continued = [sink if sink.target in own else as_successor(session, key, sink) for sink in sinks]
    # Workers that replace others are equals. Whichever sets their file first, it takes the rows of all.
    common = {after.target for sink, after in zip(sinks, continued, strict=True) if after is not sink}
    sinks = continued
    await_earlier_runs(session, [sink for sink in sinks if sink.target not in own | common])

    needs_scope = False

    def change(config: SessionConfig) -> SessionConfig:
        nonlocal needs_scope
        spec = config.recording(key) or RecordingSpec(*key, founder=owner)
        given = (replace(sink, owner=0 if sink.target in common else owner) for sink in sinks)
        mine = [_at_taken_path(config, key, sink) for sink in given]
        others = [sink for sink in spec.sinks if sink.owner != owner]
        needs_scope = any(not spec.is_whole(sink) for sink in mine)
        # A sink that already takes the whole recording takes our rows, too.
        wholes = {(sink.kind, sink.target) for sink in others if spec.is_whole(sink)}
        mine = [sink for sink in mine if (sink.kind, sink.target) not in wholes]
        own_files: set[str] = set()
        if needs_scope:
            config = _with_scope(session, config)
        else:
            wanted = {(sink.kind, sink.target) for sink in mine}
            taken_over = [sink for sink in others if (sink.kind, sink.target) in wanted]
            others = [sink for sink in others if sink not in taken_over]
            own_files = {sink.target for sink in taken_over if sink.kind == "file"}
            for path in sorted(own_files) if not (session.is_rank or multiprocessing_parent()) else ():
                say(f"{path} takes the rows of all processes now; it replaces the file of a child process")
        if config.default_sinks and any(sink.blueprint for sink in mine):
            # `rerun-mp run` has set sinks, too, and they may be the same file: the blueprint goes to all of them.
            data = next(sink.blueprint for sink in mine if sink.blueprint)
            spec = replace(spec, blueprint=Blueprint(data, make_active=False, make_default=True))
            mine = [replace(sink, blueprint=None) for sink in mine]
        config, ours = _without_files(config, key, {sink.target for sink in mine if sink.kind == "file"})
        present = [sink for sink in spec.sinks if sink.owner in (owner, 0)]
        claims = {sink.target: sink for sink in (*present, *others, *replaced)}
        claimed = (
            (claim_or_beside if sink.target in common else claim_target)(
                session, key, sink, claims, ours | own_files, taken
            )
            for sink in mine
        )
        sinks_now = (*others, *claimed)
        return config.with_recording(spec.with_sinks(sinks_now, claims))

    revision = session.config_editor.edit(change)
    for one in taken:
        await_former_owners(one)
    if needs_scope:
        session.enter_scope()
    session.must_complete = session.must_complete or bool(sinks)
    if any(sink.kind == "file" for sink in replaced):
        _await_applied(session, revision, timeout)


def shared_sinks(session: Session, key: RecordingKey) -> tuple[SinkSpec, ...]:
    """Return a recording's sinks that other processes have set and that take the rows of this one; see `named`."""
    spec = session.config().recording(key) if session.is_shared else None
    return () if spec is None else spec.sinks


def checkpoint(session: Session, key: RecordingKey) -> None:
    """Make the files of a recording that this process set complete for readers. Later rows are added to them.

    Raises
    ------
    FlushTimeoutError
        If that takes longer than the session's exit timeout.
    """
    timeout = session.settings.exit_timeout
    deliver(session, timeout)
    if not any(sink.kind == "file" for sink in _own_sinks(session, key)):
        return

    def change(config: SessionConfig) -> SessionConfig:
        spec = config.recording(key) or RecordingSpec(*key)
        sinks = (
            replace(sink, checkpoints=sink.checkpoints + 1)
            if sink.kind == "file" and sink.owner == _owner(session)
            else sink
            for sink in spec.sinks
        )
        return config.with_recording(replace(spec, sinks=tuple(sinks)))

    _await_applied(session, session.config_editor.edit(change), timeout)


def next_episode(session: Session, key: RecordingKey) -> bool:
    """End the present part of each of a recording's files that rotate. False: none of its files does.

    What any process has logged before is in the present part or an earlier one.

    Raises
    ------
    FlushTimeoutError
        If that takes longer than the session's exit timeout.
    """
    spec = session.config().recording(key)
    if spec is None or not any(sink.rotation is not None for sink in spec.sinks):
        return False
    timeout = session.settings.exit_timeout
    deliver(session, timeout)

    def change(config: SessionConfig) -> SessionConfig:
        spec = config.recording(key) or RecordingSpec(*key)
        sinks = (sink if sink.rotation is None else replace(sink, episodes=sink.episodes + 1) for sink in spec.sinks)
        return config.with_recording(replace(spec, sinks=tuple(sinks)))

    _await_applied(session, session.config_editor.edit(change), timeout)
    return True


def set_paused(session: Session, key: RecordingKey, *, is_paused: bool) -> None:
    """Let calls that log to a recording do nothing from now on, in all processes, or let them log again.

    Raises
    ------
    FlushTimeoutError
        If no collector applies it within the session's exit timeout.
    """

    def change(config: SessionConfig) -> SessionConfig:
        spec = config.recording(key) or RecordingSpec(*key)
        return replace(config.with_recording(replace(spec, is_paused=is_paused)), pauses=config.pauses + 1)

    _await_applied(session, session.config_editor.edit(change), session.settings.exit_timeout)


def send_blueprint(session: Session, key: RecordingKey, blueprint: Blueprint) -> None:
    """Send a blueprint to all sinks of a recording, present and future. It replaces the one before."""

    def change(config: SessionConfig) -> SessionConfig:
        spec = config.recording(key) or RecordingSpec(*key)
        return config.with_recording(replace(spec, blueprint=blueprint))

    session.config_editor.edit(change)


def deliver(session: Session, timeout: float) -> None:
    """Wait until the rows that any process has logged so far are stored, in the present sinks where those are files.

    Raises
    ------
    FlushTimeoutError
        If that takes longer than `timeout` seconds.
    """
    # A collector that has yet to start must know the old sinks before it learns of the new ones.
    _await_applied(session, session.segment.ring.words[Header.CONFIG_REVISION], timeout)
    session.seal()
    session.await_stored(session.segment.ring.pending(), timeout)


def _with_scope(session: Session, config: SessionConfig) -> SessionConfig:
    if config.around(session.token):
        return config
    parent = ancestry.inherited_scope(config) if session.scope is None else session.scope
    return replace(config, scopes=(*config.scopes, Scope(session.token, parent, ancestry.this_process())))


def _owner(session: Session) -> int:
    """Return the owner of the sinks that this process sets; see `SinkSpec.owner`."""
    return 0 if session.is_founder and not session.is_shared else session.token


def _own_sinks(session: Session, key: RecordingKey) -> list[SinkSpec]:
    spec = session.config().recording(key)
    return [sink for sink in spec.sinks if sink.owner == _owner(session)] if spec is not None else []


def _at_taken_path(config: SessionConfig, key: RecordingKey, sink: SinkSpec) -> SinkSpec:
    """Return a file sink with the path that the session has taken in place of the one that the user names.

    Each recording has parts of its own of a file that rotates.
    """
    known = [
        one
        for spec in config.recordings
        for one in spec.sinks
        if one.kind == "file" == sink.kind and (one.rotation is None) == (sink.rotation is None)
        if sink.rotation is None or spec.key == key
    ]
    found = next((one for one in known if one.wanted == sink.target), None)
    return sink if found is None else replace(sink, target=found.target, wanted=found.wanted)


def _without_files(
    config: SessionConfig, key: RecordingKey, paths: Collection[str]
) -> tuple[SessionConfig, frozenset[str]]:
    """Take these files from the session's other recordings, and say so. Also returns those that were taken."""
    ours: set[str] = set()
    for spec in config.recordings:
        lost = {sink.target for sink in spec.sinks if sink.kind == "file" and sink.target in paths}
        if spec.key == key or not lost:
            continue
        config = config.with_recording(
            replace(spec, sinks=tuple(sink for sink in spec.sinks if sink.kind != "file" or sink.target not in lost))
        )
        ours |= lost
        for path in sorted(lost):
            say(f"{path} is the file of recording {key.recording_id} now; it replaces recording {spec.recording_id}")
    return config, frozenset(ours)


def _files_of(config: SessionConfig, key: RecordingKey) -> list[SinkSpec]:
    spec = config.recording(key)
    return [] if spec is None else [sink for sink in spec.sinks if sink.kind == "file"]


def _await_applied(session: Session, revision: int, timeout: float) -> None:
    """Wait until the collector has applied a configuration: new files are open, files no longer named are complete."""
    words = session.segment.ring.words
    session.ring_doorbell()
    if not wait_until(lambda: words[Header.CONFIG_APPLIED] >= revision, timeout, meanwhile=session.watch_collector):
        raise FlushTimeoutError(
            f"after {timeout} s the collector has not opened and completed the files that it should. It goes on; "
            f"its log is in {session.segment.runtime_directory}."
        )
