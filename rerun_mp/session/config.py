"""A session's configuration: everything that its processes tell the collector about recordings and their sinks.

Frozen data, and its JSON text, which holds no code and is checked on reading. `config_file` reads and replaces the
file. Any process and thread may call.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import CorruptionError
from rerun_mp.session import directories

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from rerun_mp.session.rotation import Values
    from rerun_mp.session.rules import RuleValues

__all__ = [
    "NODE_OWNER",
    "Blueprint",
    "FileMode",
    "NodeSpec",
    "RecordingSpec",
    "Scope",
    "SessionConfig",
    "SinkSpec",
    "SnapshotSpec",
    "SystemFigures",
    "WholeFile",
]

NODE_OWNER = -1
"""Owner of the sinks that a node has because of its head. No process replaces them."""
SinkKind = Literal["file", "grpc", "serve"]
FileMode = Literal["new", "append", "resume"]
"""What becomes of a file that lies at the path: it is replaced, keeps its recordings, or its recording goes on."""


class WholeFile(NamedTuple):
    """A complete file that a session has left at its end."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    prelude: int
    """Size of the file before its first chunk, in bytes."""
    digest: str
    """Hash of the prelude."""

    @classmethod
    def at(cls, path: str, prelude: int, digest: str) -> WholeFile | None:
        """Return the description of the file at `path`; None if there is no regular file."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return cls(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, prelude, digest)

    @property
    def claim(self) -> tuple[int, int, int]:
        """The file's identity, as `directories.claim_of` returns it."""
        return self.device, self.inode, self.mtime_ns

    def is_unchanged(self) -> bool:
        """Say whether the file still lies at its path as the session has left it."""
        return WholeFile.at(self.path, self.prelude, self.digest) == self


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """One sink as the user specified it. Specs with equal `kind` and `target` mean the same sink."""

    kind: SinkKind
    target: str
    """Absolute real path of a file, URL of a gRPC server, or options of a collector's server (`GrpcServerSink`)."""
    owner: int = 0
    """Token of the process that set it; 0 for the session's founder, and in a store; `NODE_OWNER` for a node's own."""
    write_footer: bool = True
    blueprint: str | None = None
    """Default blueprint: base64 of an .rrd with one blueprint store."""
    claim: tuple[int, int, int] | None = None
    """Identity of the empty file that was put at a file sink's path, see `file_claims.claim_file`. Another file at that
    path comes from a program that claimed the path later."""
    wanted: str | None = None
    """The path that the user named, if `target` is another one: a program holds that path, or the file rotates."""
    is_in_place: bool = False
    """Whether the file can be written, but not replaced, as one that is mounted at its path."""
    checkpoints: int = 0
    """Number of requests to complete the file for readers. Later rows are added to the file."""
    continues: WholeFile | None = None
    """The complete file at the path that an ended session has left, and to which the rows of its heirs are added."""
    rotation: Values | None = None
    """Values of a file's `Rotation`; None: it does not rotate. `target` is its first part."""
    rules: tuple[RuleValues, ...] = ()
    """Values of the sink's rules (`rules.Rule`)."""
    episodes: int = 0
    """Number of requests to end the present part of a file that rotates."""
    has_own_store: bool = False
    """Whether a sink that takes the whole recording has a store of its own: the recording's store writes another file,
    or has rules. It stays so, because a sink never changes its store."""

    mode: FileMode = "new"
    """What becomes of a file that lies at the path. Once the sink is claimed: "new" if no recording lies there."""
    recording_id: str | None = None
    """Id of the recording in the file that goes on; None: the recording's own id."""
    began_ns: int | None = None
    """When the recording that goes on began, nanoseconds since the epoch; None: unknown."""

    @property
    def is_added_to(self) -> bool:
        """Whether the file that lies at the path keeps what it holds."""
        return self.mode != "new"

    @property
    def shown_target(self) -> str:
        """The target as the user knows it: for a server, host and port."""
        if self.kind != "serve":
            return self.target
        host, port, *_ = json.loads(self.target)
        return f"{host}:{port}"

    def __post_init__(self) -> None:
        # JSON has lists.
        if self.claim is not None:
            object.__setattr__(self, "claim", tuple(self.claim))
        if self.continues is not None:
            object.__setattr__(self, "continues", WholeFile(*self.continues))
        if self.rotation is not None:
            object.__setattr__(self, "rotation", tuple(self.rotation))
        object.__setattr__(self, "rules", tuple(tuple(one) for one in self.rules))


class Scope(NamedTuple):
    """A process that set sinks of its own. They take its rows and those of its descendants.

    The producers table names the innermost scope of each producer. Sinks that take a whole recording (set by the
    session's founder, or by the process that began the recording) need no scope.
    """

    token: int
    """Token of the process, as in `SinkSpec.owner`."""
    parent: int
    """Token of the scope around this one; 0 for none."""
    process: tuple[int, int]
    """Its id and start time, by which children that inherited nothing find the scope of their parent."""


class Blueprint(NamedTuple):
    """A blueprint that the user has sent to every sink of a recording."""

    data: str
    """Base64 of an .rrd with one blueprint store."""
    make_active: bool
    make_default: bool


class NodeSpec(NamedTuple):
    """What makes a session a node: one of several hosts of a job, or a host with a head; see `node`."""

    host: str
    job: str = ""
    """The job's name, for people."""
    recording_key: str = ""
    """The key from which the job's hosts derive recording ids, in hex; empty: the session's key."""
    head: str = ""
    """URL of the head's live view; empty: none."""
    ship_to: str = ""
    """Where the parts go; empty: they stay on this host."""
    token: str = ""
    """The secret that the head knows."""
    parts: str = ""
    """Directory of this host's parts; empty: this node keeps none."""
    part_bytes: int = 0
    part_seconds: float = 0.0
    parts_bytes: int = 0
    ship_timeout: float = 0.0


class SnapshotSpec(NamedTuple):
    """A process's request to write what the collector still has of a recording into one file."""

    token: str
    """Identifies the request."""
    application_id: str
    recording_id: str
    path: str
    """Absolute real path of the file."""
    claim: tuple[int, int, int] | None = None
    """Identity of the file that lay there at the request, see `file_claims.claim_of`. A later one is not replaced."""


class SystemFigures(NamedTuple):
    """How the collector logs the figures of processes and machine (`integrations.system`)."""

    entity_path: str
    """The part before the names of the figures."""
    interval_secs: float
    """Seconds between two rows."""


@dataclass(frozen=True, slots=True)
class RecordingSpec:
    """A recording of the session and its sinks. Rows of a recording without sinks wait in the spool."""

    application_id: str
    recording_id: str
    sinks: tuple[SinkSpec, ...] = ()
    start_time_ns: int | None = None
    """When it began, nanoseconds since the epoch; None keeps that out of its properties."""
    blueprint: Blueprint | None = None
    """The last blueprint that was sent."""
    founder: int = 0
    """Token of the process that began it."""
    is_paused: bool = False
    """Whether calls that log to it do nothing, in all processes."""
    is_shared: bool = False
    """Whether every process's sinks take the whole recording: it belongs to a session with a name."""

    def is_whole(self, sink: SinkSpec) -> bool:
        """Whether a sink takes the whole recording, not only the rows of one process and its descendants."""
        return self.is_shared or sink.owner in (0, NODE_OWNER, self.founder)

    def with_sinks(self, sinks: Iterable[SinkSpec], known: Container[str] = ()) -> RecordingSpec:
        """Return the recording with these sinks. Some get a store of their own.

        - Each file but the first: another file rotates otherwise, has other rules, keeps other rows, or stays longer.
        - A file with rules, unless it is the only new sink. The recording's store then has every row for the others.
        - Any other sink, if the recording's store writes a file with rules already.

        `known`: targets of sinks that are there already. They come first.
        """
        given = tuple(sinks)
        wholes = [one for one in given if self.is_whole(one) and one.owner != NODE_OWNER and not one.has_own_store]
        files = [one for one in wholes if one.kind == "file"]
        others: list[SinkSpec] = []
        if files:
            # A pipe or device has no claim. What went there cannot be read again, for a live sink or a snapshot.
            main = min(files, key=lambda one: (one.target not in known, bool(one.rules), one.claim is None))
            is_ruled = bool(main.rules)
            if is_ruled and main.target not in known and len(wholes) > len(files):
                others = files  # the recording's store is for the live sinks
            else:
                others = [one for one in wholes if one.target != main.target and (is_ruled or one.kind == "file")]
        return replace(
            self, sinks=tuple(replace(sink, has_own_store=True) if sink in others else sink for sink in given)
        )

    @property
    def key(self) -> RecordingKey:
        """(application id, recording id)."""
        return RecordingKey(self.application_id, self.recording_id)


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Everything that the processes of a session tell the collector."""

    revision: int = 0
    default: RecordingKey | None = None
    """The recording that is active by default in processes that join."""
    recordings: tuple[RecordingSpec, ...] = field(default=())
    scopes: tuple[Scope, ...] = ()
    default_sinks: tuple[SinkSpec, ...] = ()
    """Sinks of every recording that begins from now on, besides those that its program sets."""
    figures: float | None = None
    """Seconds between two rows of the session's own figures; None: no figures."""
    system: SystemFigures | None = None
    """How the figures of processes and machine are logged; None: not at all."""
    rescue_directory: str | None = None
    """Directory for rows without a file at the end. Only a recovery sets it; otherwise such rows are removed."""
    node: NodeSpec | None = None
    """None: all of the job is on this host."""
    restarter: tuple[int, int] | None = None
    """See `Job.restarter`."""
    pauses: int = 0
    """Number of recordings' pauses and resumptions so far."""
    snapshots: tuple[SnapshotSpec, ...] = ()
    """Requests for snapshots. The process that made one removes it, or, if that was killed, a later request does."""

    @property
    def has_timers(self) -> bool:
        """Whether some work of the collector is due at a certain time, also if no row comes."""
        is_timed = self.figures is not None or self.system is not None or self.node is not None
        return is_timed or any(
            spec.is_paused or any(sink.rotation is not None for sink in spec.sinks) for spec in self.recordings
        )

    def is_main(self, spec: RecordingSpec, sink: SinkSpec) -> bool:
        """Whether a sink reads from the recording's own store. Others have a store with copies.

        The store of a node's recording writes parts that rotate. A file of the program does not rotate with them.
        """
        is_beside = self.node is not None and bool(self.node.parts) and sink.kind == "file"
        return spec.is_whole(sink) and not sink.has_own_store and not (is_beside and sink.owner != NODE_OWNER)

    def recording(self, key: RecordingKey) -> RecordingSpec | None:
        """Return the spec of `key`, if it is known."""
        return next((spec for spec in self.recordings if spec.key == key), None)

    def default_sinks_of(self, key: RecordingKey) -> tuple[SinkSpec, ...]:
        """Return a new recording's default sinks, with another path for each file that another recording has."""
        files = [sink for spec in self.recordings for sink in spec.sinks if sink.kind == "file"]
        taken = {sink.target if sink.rotation is None else sink.wanted for sink in files}
        return tuple(
            replace(sink, target=_another_path(sink.target, key)) if sink.target in taken else sink
            for sink in self.default_sinks
        )

    def scope_of(self, process: tuple[int, int]) -> int | None:
        """Return the token of a process's own scope; None if it has none."""
        return next((scope.token for scope in reversed(self.scopes) if scope.process == process), None)

    def around(self, token: int) -> frozenset[int]:
        """Return the tokens of a scope and of all scopes around it; none for an unknown token."""
        parents = {scope.token: scope.parent for scope in self.scopes}
        found: set[int] = set()
        while token in parents and token not in found:
            found.add(token)
            token = parents[token]
        return frozenset(found)

    def with_recording(self, spec: RecordingSpec) -> SessionConfig:
        """Return a configuration in which `spec` replaces the one with its key, or is added."""
        others = tuple(old for old in self.recordings if old.key != spec.key)
        return replace(self, recordings=(*others, spec))

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> SessionConfig:
        """Read the file's text.

        Raises
        ------
        CorruptionError
            If the text is no configuration.
        """
        try:
            raw: dict[str, Any] = json.loads(text)
            return cls(
                revision=int(raw["revision"]),
                default=RecordingKey(*map(str, raw["default"])) if raw["default"] is not None else None,
                recordings=tuple(
                    RecordingSpec(
                        str(spec["application_id"]),
                        str(spec["recording_id"]),
                        tuple(SinkSpec(**sink) for sink in spec["sinks"]),
                        int(spec["start_time_ns"]) if spec["start_time_ns"] is not None else None,
                        Blueprint(*spec["blueprint"]) if spec.get("blueprint") is not None else None,
                        int(spec["founder"]),
                        bool(spec.get("is_paused", False)),
                        bool(spec.get("is_shared", False)),
                    )
                    for spec in raw["recordings"]
                ),
                scopes=tuple(
                    Scope(int(token), int(parent), (int(pid), int(started)))
                    for token, parent, (pid, started) in raw["scopes"]
                ),
                default_sinks=tuple(SinkSpec(**sink) for sink in raw["default_sinks"]),
                figures=float(raw["figures"]) if raw["figures"] is not None else None,
                system=SystemFigures(str(raw["system"][0]), float(raw["system"][1])) if raw.get("system") else None,
                rescue_directory=str(raw["rescue_directory"]) if raw.get("rescue_directory") is not None else None,
                node=NodeSpec(*raw["node"]) if raw.get("node") is not None else None,
                restarter=(int(raw["restarter"][0]), int(raw["restarter"][1])) if raw.get("restarter") else None,
                pauses=int(raw.get("pauses", 0)),
                snapshots=tuple(map(_snapshot_of, raw.get("snapshots", ()))),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptionError(f"the session's configuration file cannot be read: {error!r}") from error


def _snapshot_of(raw: list[Any]) -> SnapshotSpec:
    token, application_id, recording_id, path, claim = raw
    identity = None if claim is None else (int(claim[0]), int(claim[1]), int(claim[2]))
    return SnapshotSpec(str(token), str(application_id), str(recording_id), str(path), identity)


def _another_path(path: str, key: RecordingKey) -> str:
    stem, extension = os.path.splitext(path)
    name, digest = directories.name_of(*key)
    return f"{stem}.{name}-{digest}{extension}"
