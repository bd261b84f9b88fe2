"""Kinds of sinks: a file, a gRPC server. What the user names is checked here, before the collector hears of it.

Rerun's classes of the same names hide their arguments; these carry them. Nothing is opened here but for a test: the
collector opens sinks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rerun_mp.errors import InvalidArgumentError, ResourceError

if TYPE_CHECKING:
    from rerun_mp.config import SinkSpec

__all__ = ["FileSink", "GrpcSink"]

DEFAULT_URL = "rerun+http://127.0.0.1:9876/proxy"
SCHEMES = ("rerun://", "rerun+http://", "rerun+https://")


class GrpcSink:
    """A viewer or server that listens for gRPC.

    Parameters
    ----------
    url
        `rerun://`, `rerun+http://` or `rerun+https://`, a host, perhaps a port, and the path `/proxy`. By default
        rerun+http://127.0.0.1:9876/proxy, where `spawn` has its viewer.

    Raises
    ------
    InvalidArgumentError
        If it is another kind of URL.

    Examples
    --------
    >>> GrpcSink("rerun+http://localhost:9876/proxy")
    GrpcSink('rerun+http://localhost:9876/proxy')
    """

    __slots__ = ("url",)

    def __init__(self, url: str | None = None) -> None:
        self.url = _checked_url(DEFAULT_URL if url is None else url)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GrpcSink) and other.url == self.url

    def __hash__(self) -> int:
        return hash((GrpcSink, self.url))

    def __repr__(self) -> str:
        return f"GrpcSink({self.url!r})"

    def spec(self, blueprint: str | None) -> SinkSpec:
        """Return what the collector is told."""
        from rerun_mp.config import SinkSpec

        return SinkSpec("grpc", self.url, blueprint=blueprint)


class FileSink:
    """An .rrd file, overwritten if it exists.

    Parameters
    ----------
    path
        Where. It is tested when the sink is set.
    write_footer
        Whether the file ends in a list of its chunks, which readers need for random access.

    Raises
    ------
    TypeError
        If `path` is no path.

    Examples
    --------
    >>> FileSink("run.rrd").write_footer
    True
    """

    __slots__ = ("path", "write_footer")

    def __init__(self, path: str | os.PathLike[str], *, write_footer: bool = True) -> None:
        self.path = os.fsdecode(path)
        """As given; relative to the directory that is current when the sink is set."""
        self.write_footer = write_footer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileSink) and other.path == self.path and other.write_footer == self.write_footer

    def __hash__(self) -> int:
        return hash((FileSink, self.path, self.write_footer))

    def __repr__(self) -> str:
        return f"FileSink({self.path!r}, write_footer={self.write_footer})"

    def spec(self, blueprint: str | None) -> SinkSpec:
        """Return what the collector is told.

        Raises
        ------
        ResourceError
            If the file cannot be written.
        """
        from rerun_mp.config import SinkSpec

        path = os.path.realpath(self.path)
        _check_writable(path)
        return SinkSpec("file", path, write_footer=self.write_footer, blueprint=blueprint)


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


def _check_writable(path: str) -> None:
    """Try what the collector will do: make a file in that directory, and put it in the place of `path`."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ResourceError(f"cannot write a recording to {path}: that is no regular file; give the path of one")
    if os.path.isfile(path) and not os.access(path, os.W_OK):
        raise ResourceError(f"cannot overwrite {path}: it is read-only for this user; remove it or choose another path")
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(path)):
            pass
    except OSError as error:
        raise ResourceError(
            f"cannot write {path}: {error.strerror} (errno {error.errno}); choose a directory that you can write to"
        ) from error
