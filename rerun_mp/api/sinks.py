"""The kinds of sinks: a file, a gRPC server elsewhere, a gRPC server of our own, the standard output.

Each checks its arguments and carries them to the collector, which opens the sink; rerun's classes of the same names
hide them. These classes open a file or port only to test it. Sinks are immutable, so any thread may use them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rerun_mp.errors import InvalidArgumentError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from typing import Any

    from rerun_mp.session.config import FileMode, SinkSpec
    from rerun_mp.session.rotation import Rotation
    from rerun_mp.session.rules import Rule, RuleValues

__all__ = ["FileSink", "GrpcServerSink", "GrpcSink", "Sink", "StdoutSink"]

DEFAULT_URL = "rerun+http://127.0.0.1:9876/proxy"
MODES: tuple[FileMode, ...] = ("new", "append", "resume")
SCHEMES = ("rerun://", "rerun+http://", "rerun+https://")


class _Frozen:
    """An immutable object: two equal sinks stay equal."""

    __slots__: tuple[str, ...] = ()

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__!r} object is frozen; make another one to have another {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), {name: getattr(self, name) for name in self.__slots__})


def _restore(kind: type[_Frozen], values: dict[str, object]) -> _Frozen:
    sink = object.__new__(kind)
    sink._set(**values)
    return sink


def _frozen_rules(rules: Iterable[Rule] | None) -> tuple[Rule, ...] | None:
    return None if rules is None else tuple(rules)


def _rule_values(rules: tuple[Rule, ...] | None) -> tuple[RuleValues, ...]:
    from rerun_mp.session.rules import values_of

    return values_of(rules)


class GrpcSink(_Frozen):
    """A viewer or server elsewhere that listens for gRPC.

    Parameters
    ----------
    url
        A URL of `rerun://`, `rerun+http://` or `rerun+https://`, a host, an optional port, and the path `/proxy`. By
        default rerun+http://127.0.0.1:9876/proxy, the address of the viewer that `spawn` starts. With `https` the
        server's certificate must be one that the system trusts, or the environment variable SSL_CERT_FILE names.
    rules
        `Rule`s that hold rows back or make images smaller; the first that matches counts. By default those of the file
        that RERUN_MP_RULES names.

    Raises
    ------
    InvalidArgumentError
        If `url` is no such URL.

    Examples
    --------
    >>> GrpcSink("rerun+http://localhost:9876/proxy")
    GrpcSink('rerun+http://localhost:9876/proxy')
    """

    __slots__ = ("rules", "url")

    url: str
    rules: tuple[Rule, ...] | None

    def __init__(self, url: str | None = None, *, rules: Iterable[Rule] | None = None) -> None:
        self._set(url=_checked_url(DEFAULT_URL if url is None else url), rules=_frozen_rules(rules))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GrpcSink) and other.url == self.url

    def __hash__(self) -> int:
        return hash((GrpcSink, self.url))

    def __repr__(self) -> str:
        return f"GrpcSink({self.url!r})"

    def spec(self, blueprint: str | None) -> SinkSpec:
        """Return the sink as the session's configuration names it."""
        from rerun_mp.session.config import SinkSpec

        return SinkSpec("grpc", self.url, blueprint=blueprint, rules=_rule_values(self.rules))


class GrpcServerSink(_Frozen):
    """A gRPC server of the collector, to which viewers connect. It keeps data for late viewers until the session ends.

    Parameters
    ----------
    bind_ip
        The address of the interface on which it listens; unlike in rerun, by default the loopback interface.
    port
        The port on which it listens; 0 means a free one.
    server_memory_limit
        Maximum memory for data that late viewers get, such as "4GB" or "50%". The server drops the oldest data first.
    newest_first
        Whether late viewers get the newest data first.
    cors_allow_origin
        Origins beyond localhost and rerun.io from which browsers may connect; `*` matches anything.
    rules
        As for a `GrpcSink`.

    Raises
    ------
    InvalidArgumentError
        If `port` is no port.
    ResourceError
        When the sink is set, if another program listens on the port.

    Examples
    --------
    >>> GrpcServerSink(port=9877).uri
    'rerun+http://127.0.0.1:9877/proxy'
    """

    __slots__ = ("bind_ip", "cors_allow_origin", "newest_first", "port", "rules", "server_memory_limit")

    bind_ip: str
    port: int
    server_memory_limit: str
    newest_first: bool
    cors_allow_origin: list[str]
    rules: tuple[Rule, ...] | None

    def __init__(
        self,
        bind_ip: str = "127.0.0.1",
        port: int = 9876,
        *,
        server_memory_limit: str = "1GiB",
        newest_first: bool = False,
        cors_allow_origin: list[str] | None = None,
        rules: Iterable[Rule] | None = None,
    ) -> None:
        if not isinstance(port, int) or not 0 <= port < 1 << 16:
            raise InvalidArgumentError(f"argument 'port': {port!r} is no port; give a number from 0 to 65535")
        if port == 0:
            with _socket(bind_ip) as probe:
                probe.bind((bind_ip, 0))
                port = int(probe.getsockname()[1])
        self._set(
            bind_ip=bind_ip,
            port=port,
            server_memory_limit=server_memory_limit,
            newest_first=newest_first,
            cors_allow_origin=list(cors_allow_origin or ()),
            rules=_frozen_rules(rules),
        )

    def is_port_free(self) -> bool:
        """Return whether a server could listen on the port now."""
        import socket

        with _socket(self.bind_ip) as probe:
            # Servers set this too, so that the remains of ended connections do not block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.bind_ip, self.port))
            except OSError:
                return False
            return True

    def listens(self) -> bool:
        """Return whether a server listens on the port now."""
        from rerun_mp.viewers import spawn

        return spawn.listens(self.port, self._host)

    @property
    def _host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind_ip, self.bind_ip)

    @property
    def uri(self) -> str:
        """The URL for viewers on this machine."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"rerun+http://{host}:{self.port}/proxy"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GrpcServerSink) and (other.bind_ip, other.port) == (self.bind_ip, self.port)

    def __hash__(self) -> int:
        return hash((GrpcServerSink, self.bind_ip, self.port))

    def __repr__(self) -> str:
        return f"GrpcServerSink({self.bind_ip!r}, {self.port})"

    def spec(self, blueprint: str | None) -> SinkSpec:
        """Return the sink as the session's configuration names it."""
        import json

        from rerun_mp.session.config import SinkSpec

        options = [self.bind_ip, self.port, self.server_memory_limit, self.newest_first, self.cors_allow_origin]
        return SinkSpec("serve", json.dumps(options), blueprint=blueprint, rules=_rule_values(self.rules))


class StdoutSink(_Frozen):
    """The standard output of this process. The collector opens it through /proc.

    Parameters
    ----------
    write_footer
        As for a `FileSink`.
    """

    __slots__ = ("write_footer",)

    write_footer: bool

    def __init__(self, *, write_footer: bool = True) -> None:
        self._set(write_footer=write_footer)

    def spec(self, blueprint: str | None) -> SinkSpec:
        """Return the sink as the session's configuration names it.

        Raises
        ------
        ResourceError
            If the output is a file that cannot be replaced.
        """
        from rerun_mp.session.config import SinkSpec

        path = f"/proc/{os.getpid()}/fd/1"
        if os.path.isfile(path):
            # A shell has redirected the output to this file. The recording replaces it under its name.
            return FileSink(os.path.realpath(path), write_footer=self.write_footer).spec(blueprint)
        return SinkSpec("file", path, write_footer=self.write_footer, blueprint=blueprint)


class FileSink(_Frozen):
    """An .rrd file, overwritten if it exists.

    Parameters
    ----------
    path
        The path of the file. Setting the sink checks that the file can be written.
    write_footer
        Whether the file ends with a list of its chunks, which readers need for random access.
    rotate
        When the file ends and the next part begins, see `Rotation`. The parts of run.rrd are run.0001.rrd, run.0002.rrd
        and so on; existing parts are kept. None: one file.
    mode
        What becomes of a file that lies at the path. "new": it is replaced. "append": it keeps its recordings, and this
        one is added. "resume": its last recording of this application goes on, under the id that it has there. Until
        the file is complete, the former file lies at the path.
    rules
        `Rule`s that leave rows out of the file; the first that matches counts. By default those that the file named by
        RERUN_MP_RULES has for this path.

    Raises
    ------
    TypeError
        If `path` is no path, or `rotate` no `Rotation`.
    InvalidArgumentError
        If `mode` is none of these, or a rule changes images. When the sink is set, if the file holds no recording that
        can go on, or holds this one already.
    ResourceError
        When the sink is set, if another program writes the file.

    Examples
    --------
    >>> FileSink("run.rrd").write_footer
    True
    """

    __slots__ = ("mode", "path", "rotate", "rules", "write_footer")

    path: str
    """The path as given. A relative one counts from the current directory at the time the sink is set."""
    write_footer: bool
    rotate: Rotation | None
    mode: FileMode
    rules: tuple[Rule, ...] | None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        write_footer: bool = True,
        rotate: Rotation | None = None,
        mode: FileMode = "new",
        rules: Iterable[Rule] | None = None,
    ) -> None:
        if mode not in MODES:
            raise InvalidArgumentError(f"argument 'mode': {mode!r} is none of {', '.join(map(repr, MODES))}")
        if rotate is not None:
            from rerun_mp.session.rotation import Rotation

            if not isinstance(rotate, Rotation):
                raise TypeError(
                    f"argument 'rotate': {rotate!r} is no rerun_mp.Rotation, such as Rotation(seconds=3600)"
                )
        if rules is not None:
            from rerun_mp.session.rules import file_values_of

            rules = tuple(rules)
            file_values_of(rules, os.fsdecode(path))
        self._set(
            path=os.fsdecode(path), write_footer=write_footer, rotate=rotate, mode=mode, rules=_frozen_rules(rules)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileSink) and other._facts() == self._facts()

    def __hash__(self) -> int:
        return hash((FileSink, *self._facts()))

    def __repr__(self) -> str:
        rotate = "" if self.rotate is None else f", rotate={self.rotate}"
        mode = "" if self.mode == "new" else f", mode={self.mode!r}"
        rules = "" if self.rules is None else f", rules={list(self.rules)}"
        return f"FileSink({self.path!r}, write_footer={self.write_footer}{rotate}{mode}{rules})"

    def _facts(self) -> tuple[object, ...]:
        return self.path, self.write_footer, self.rotate, self.mode, self.rules

    def spec(self, blueprint: str | None) -> SinkSpec:
        """Return the sink as the session's configuration names it.

        Raises
        ------
        InvalidArgumentError
            If a rule changes images.
        ResourceError
            If the file cannot be written.
        """
        from rerun_mp.session.config import SinkSpec
        from rerun_mp.session.file_claims import check_writable
        from rerun_mp.session.rules import file_values_of

        path = os.path.realpath(self.path)
        check_writable(path)
        return SinkSpec(
            "file",
            path,
            write_footer=self.write_footer,
            blueprint=blueprint,
            rotation=None if self.rotate is None else self.rotate.values,
            mode=self.mode,
            rules=file_values_of(self.rules, path),
        )


Sink = FileSink | GrpcServerSink | GrpcSink | StdoutSink


def _socket(ip: str) -> socket.socket:
    import socket

    return socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)


def _checked_url(url: object) -> str:
    if not isinstance(url, str):
        raise TypeError(f"argument 'url': '{type(url).__name__}' object is not an instance of 'str'")
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        is_valid = url.startswith(SCHEMES) and parts.hostname and parts.path.rstrip("/") == "/proxy"
        _ = parts.port
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidArgumentError(
            f"invalid endpoint {url!r}: it must begin with one of {', '.join(SCHEMES)}, name a host, and end in "
            f"/proxy, like {DEFAULT_URL}"
        )
    return url
