"""What the collector must know of a session: its recordings and their sinks, as a file in the runtime directory.

The file is replaced by rename under the segment's configuration lock, before the user's call returns; the collector
reads it whenever the revision in the segment's header has moved. Nothing in it is code: it is JSON, checked on reading.

Processes write it (`config_file.ConfigEditor`), the collector only reads it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import CorruptionError
from rerun_mp.session import directories

__all__ = ["Blueprint", "RecordingSpec", "Scope", "SessionConfig", "SinkSpec"]

SinkKind = Literal["file", "grpc", "serve"]


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """One sink as the user asked for it. Two specs with equal `kind` and `target` are one sink."""

    kind: SinkKind
    target: str
    """Absolute real path of a file, URL of a gRPC server, or the options of one of our own: `sinks.GrpcServerSink`."""
    owner: int = 0
    """Token of the process that set it; 0 for the process that founded the session, and in a store."""
    write_footer: bool = True
    blueprint: str | None = None
    """Default blueprint, as base64 of an .rrd with one blueprint store."""
    claim: tuple[int, int, int] | None = None
    """The empty file that was put at the path of a file when it was set, see `directories.claim_file`. Whatever else
    lies there later has been put there by somebody who came later."""
    checkpoints: int = 0
    """How often the file was to be complete for readers. What comes later is added to it."""

    @property
    def shown_target(self) -> str:
        """What the user knows it by."""
        if self.kind != "serve":
            return self.target
        host, port, *_ = json.loads(self.target)
        return f"{host}:{port}"

    def __post_init__(self) -> None:
        if self.claim is not None:
            object.__setattr__(self, "claim", tuple(self.claim))  # JSON has lists


class Scope(NamedTuple):
    """A process that set sinks of its own, which take its rows and those of the processes that descend from it.

    Rows say by their producer in which scope they are, the innermost one. What takes the whole of a recording (sinks
    of the session's founder, and of the process that began the recording) needs none.
    """

    token: int
    """The process's, as in `SinkSpec.owner`."""
    parent: int
    """Token of the scope that it is in itself; 0 for none."""
    process: tuple[int, int]
    """Its id, and when it started, so that children which inherited nothing find their parent here."""


class Blueprint(NamedTuple):
    """A blueprint that the user has sent, for every sink of a recording."""

    data: str
    """Base64 of an .rrd with one blueprint store."""
    make_active: bool
    make_default: bool


@dataclass(frozen=True, slots=True)
class RecordingSpec:
    """A recording of the session and where it goes. No sinks: it waits in the spool."""

    application_id: str
    recording_id: str
    sinks: tuple[SinkSpec, ...] = ()
    start_time_ns: int | None = None
    """When it began, nanoseconds since the epoch, if that is to be among its properties."""
    blueprint: Blueprint | None = None
    """The last one that was sent."""
    founder: int = 0
    """Token of the process that began it."""

    def is_whole(self, sink: SinkSpec) -> bool:
        """Whether a sink takes the whole recording, not only what one process and its descendants log."""
        return sink.owner in (0, self.founder)

    @property
    def key(self) -> RecordingKey:
        """(application id, recording id)."""
        return RecordingKey(self.application_id, self.recording_id)


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Everything that processes tell the collector."""

    revision: int = 0
    default: RecordingKey | None = None
    """The recording that processes which join have by default."""
    recordings: tuple[RecordingSpec, ...] = field(default=())
    scopes: tuple[Scope, ...] = ()
    default_sinks: tuple[SinkSpec, ...] = ()
    """What every recording has that is begun from now on, whatever else its program sets."""
    figures: float | None = None
    """Seconds between two rows of the session's own figures; None: there are none."""
    rescue_directory: str | None = None
    """Where rows without a file go at the end. Set by a recovery: otherwise such rows are not wanted."""

    def recording(self, key: RecordingKey) -> RecordingSpec | None:
        """Return the spec of `key`, if it is known."""
        return next((spec for spec in self.recordings if spec.key == key), None)

    def default_sinks_of(self, key: RecordingKey) -> tuple[SinkSpec, ...]:
        """Return the sinks that a new recording has. A file that another recording has got is none for this one."""
        taken = {sink.target for spec in self.recordings for sink in spec.sinks if sink.kind == "file"}
        return tuple(
            replace(sink, target=_another_path(sink.target, key)) if sink.target in taken else sink
            for sink in self.default_sinks
        )

    def scope_of(self, process: tuple[int, int]) -> int | None:
        """Return the token of the scope that a process has opened, if it has."""
        return next((scope.token for scope in reversed(self.scopes) if scope.process == process), None)

    def around(self, token: int) -> frozenset[int]:
        """Return the tokens of a scope and of all that it lies in; none for a token that is not known."""
        parents = {scope.token: scope.parent for scope in self.scopes}
        found: set[int] = set()
        while token in parents and token not in found:
            found.add(token)
            token = parents[token]
        return frozenset(found)

    def with_recording(self, spec: RecordingSpec) -> SessionConfig:
        """Return a configuration in which `spec` replaces what its key had, or is added."""
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
            If it is not such a file.
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
                    )
                    for spec in raw["recordings"]
                ),
                scopes=tuple(
                    Scope(int(token), int(parent), (int(pid), int(started)))
                    for token, parent, (pid, started) in raw["scopes"]
                ),
                default_sinks=tuple(SinkSpec(**sink) for sink in raw["default_sinks"]),
                figures=float(raw["figures"]) if raw["figures"] is not None else None,
                rescue_directory=str(raw["rescue_directory"]) if raw.get("rescue_directory") is not None else None,
            )
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptionError(f"the session's configuration file cannot be read: {error!r}") from error


def _another_path(path: str, key: RecordingKey) -> str:
    stem, extension = os.path.splitext(path)
    name, digest = directories.name_of(*key)
    return f"{stem}.{name}-{digest}{extension}"
