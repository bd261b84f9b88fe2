"""Settings of a session: an argument wins over the environment variable, which wins over the default.

The founder's settings hold for the session; a participant reads those that concern it from the segment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import IntEnum

from rerun_mp.errors import InvalidArgumentError

__all__ = ["Policy", "Settings", "parse_switch"]

HEAD_SCHEMES = ("rerun+http", "rerun+https", "rerun")
"""Schemes of a live view's URL, as in rerun. The last two are encrypted."""
MAX_SECONDS = 1e9
"""Upper bound of settings in seconds, 32 years, so that they fit into 64 bits of nanoseconds."""
SWITCHES = {
    **dict.fromkeys(("1", "true", "on", "yes"), True),
    **dict.fromkeys(("0", "false", "off", "no"), False),
}
"""Words for on and off in environment variables, ours and rerun's."""


class Policy(IntEnum):
    """What a call does when the ring is full."""

    BLOCK = 0
    """Wait for space: as long as a collector can be started, or for `block_timeout`. Then give the row up: raise in
    strict mode, else warn once and count it."""
    DROP = 1
    """Drop the row and count it."""
    RAISE = 2
    """Raise `RingFullError` at once. The only policy under which `log` raises outside strict mode."""


def _unreadable(text: str, variable: str, expected: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{variable}={text!r} is not {expected}")


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable)
    if text is None:
        return default
    if not text.strip().isdecimal():
        raise _unreadable(text, variable, f"a whole number; unset it or give one, such as {default}")
    return int(text)


def _seconds(variable: str, default: float | None) -> float | None:
    text = os.environ.get(variable)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < MAX_SECONDS:
        raise _unreadable(text, variable, "a number of seconds; unset it or give one, such as 30")
    return seconds


def parse_switch(text: str) -> bool | None:
    """Return what a word for on or off means, in upper or lower case. None: it is neither."""
    return SWITCHES.get(text.lower())


def _text(variable: str, default: str = "") -> str:
    return os.environ.get(variable, default).strip()


def _switch(variable: str, *, default: bool) -> bool:
    text = os.environ.get(variable)
    if text is None:
        return default
    value = parse_switch(text.strip())
    if value is None:
        raise _unreadable(text, variable, "on or off")
    return value


def _policy(variable: str, default: Policy) -> Policy:
    text = os.environ.get(variable)
    if text is None:
        return default
    try:
        return Policy[text.strip().upper()]
    except KeyError:
        raise _unreadable(text, variable, "one of block, drop, raise") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Limits and policies of a session. Fields that are not given come from the environment, or have their defaults.

    Raises
    ------
    InvalidArgumentError
        If a value, given or read, makes no sense; the message names it.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.init("my_app", settings=rr.Settings(policy=rr.Policy.DROP))  # doctest: +SKIP
    """

    ring_bytes: int = field(default_factory=lambda: _number("RERUN_MP_RING_BYTES", 128 * 1024 * 1024))
    """Total size of the slots in bytes; half of the free space of /dev/shm where that is less. RERUN_MP_RING_BYTES."""
    slot_bytes: int = field(default_factory=lambda: _number("RERUN_MP_SLOT_BYTES", 512 * 1024))
    """Size of a slot in bytes, whole pages; halved, down to 64 KiB, in a small ring. RERUN_MP_SLOT_BYTES."""
    spool_bytes: int = field(default_factory=lambda: _number("RERUN_MP_SPOOL_BYTES", 1024 * 1024 * 1024))
    """Maximum bytes of each recording's spool: rows on disk that no file has, because the recording has no sink, or
    for viewers, or while a file's disk is full. Beyond it the oldest rows are dropped and counted.
    RERUN_MP_SPOOL_BYTES."""
    producers: int = field(default_factory=lambda: _number("RERUN_MP_PRODUCERS", 2048))
    """Maximum number of processes that log at one time. RERUN_MP_PRODUCERS."""
    policy: Policy = field(default_factory=lambda: _policy("RERUN_MP_POLICY", Policy.BLOCK))
    """What a call does when the ring is full. RERUN_MP_POLICY: block, drop or raise."""
    block_timeout: float | None = field(default_factory=lambda: _seconds("RERUN_MP_BLOCK_TIMEOUT", None))
    """Maximum seconds that the policy `block` waits; None: without bound. RERUN_MP_BLOCK_TIMEOUT."""
    flush_tick: float = field(default_factory=lambda: _seconds("RERUN_MP_FLUSH_TICK", 0.01) or 0.0)
    """Seconds between two sweeps of the collector under load; a row wakes an idle one at once. RERUN_MP_FLUSH_TICK."""
    exit_timeout: float = field(default_factory=lambda: _seconds("RERUN_MP_EXIT_TIMEOUT", 60.0) or 0.0)
    """Maximum seconds that a process waits for its rows and files at its exit. RERUN_MP_EXIT_TIMEOUT."""
    recover: bool = field(default_factory=lambda: _switch("RERUN_MP_RECOVER", default=True))
    """Whether `init` recovers the rows of this user's killed programs in the background. RERUN_MP_RECOVER: on, off."""
    exit_line: bool = field(default_factory=lambda: _switch("RERUN_MP_EXIT_LINE", default=True))
    """Whether the last process of a session says at its exit, on a terminal, where its rows are.
    RERUN_MP_EXIT_LINE: on, off."""
    figures: float | None = field(default_factory=lambda: _seconds("RERUN_MP_FIGURES", None))
    """Seconds between two rows of the session's own figures in its recordings (ring, rows per second, drops), which
    `rerun_mp.figures.blueprint` shows in a viewer; None: no figures. RERUN_MP_FIGURES."""
    head: str = field(default_factory=lambda: _text("RERUN_MP_HEAD"))
    """URL of a head's live view, such as `rerun+http://head:9876/proxy`: it gets every recording, and this host's parts
    go to the same head. Empty: no head. RERUN_MP_HEAD."""
    head_token: str = field(default_factory=lambda: _text("RERUN_MP_HEAD_TOKEN"), repr=False)
    """The secret by which a head knows its nodes; `rerun-mp head` prints it. RERUN_MP_HEAD_TOKEN."""
    ship_to: str = field(default_factory=lambda: _text("RERUN_MP_SHIP_TO"))
    """Where this host's parts go: a directory, or the URL of a head's receiver; empty: the receiver of `head`, on the
    port after that of the live view. RERUN_MP_SHIP_TO."""
    parts_directory: str = field(default_factory=lambda: _text("RERUN_MP_PARTS_DIRECTORY"))
    """Directory for this host's parts until they are shipped; empty: `parts` in the user's data directory.
    RERUN_MP_PARTS_DIRECTORY."""
    part_bytes: int = field(default_factory=lambda: _number("RERUN_MP_PART_BYTES", 64 << 20))
    """Bytes of a part after which the next one begins and the part is shipped, at least 4096. RERUN_MP_PART_BYTES."""
    part_seconds: float = field(default_factory=lambda: _seconds("RERUN_MP_PART_SECONDS", 60.0) or 60.0)
    """Seconds after which a part ends. RERUN_MP_PART_SECONDS."""
    parts_bytes: int = field(default_factory=lambda: _number("RERUN_MP_PARTS_BYTES", 64 << 30))
    """Maximum bytes of closed parts that wait to be shipped. Beyond it the oldest are removed, and the program says so.
    RERUN_MP_PARTS_BYTES."""
    ship_timeout: float = field(default_factory=lambda: _seconds("RERUN_MP_SHIP_TIMEOUT", 600.0) or 0.0)
    """Maximum seconds that a shipper outlives the program, if parts are left at its end. RERUN_MP_SHIP_TIMEOUT."""

    def __post_init__(self) -> None:
        for name in ("ring_bytes", "slot_bytes", "spool_bytes", "producers", "part_bytes", "parts_bytes"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise InvalidArgumentError(f"{name}={value!r} is not a whole number of at least 0")
        for name in ("block_timeout", "flush_tick", "exit_timeout", "figures", "part_seconds", "ship_timeout"):
            value = getattr(self, name)
            if value is None and name in ("block_timeout", "figures"):
                continue
            if not isinstance(value, int | float) or not 0 <= value < MAX_SECONDS:
                raise InvalidArgumentError(f"{name}={value!r} is not a number of seconds from 0 on")
        for name in ("head", "head_token", "ship_to", "parts_directory"):
            if not isinstance(getattr(self, name), str):
                raise InvalidArgumentError(f"{name} must be a text")
        if self.head and not _is_address(self.head, HEAD_SCHEMES, path="/proxy"):
            raise InvalidArgumentError(
                f"head={self.head!r} is no URL of a live view with host and port; give one such as "
                f"rerun+http://head:9876/proxy"
            )
        if "://" in self.ship_to and not _is_address(self.ship_to, ("http", "https")):
            raise InvalidArgumentError(
                f"ship_to={self.ship_to!r} is neither a directory nor the URL of a head's receiver, such as "
                f"http://head:9877"
            )
        if not isinstance(self.recover, bool):
            raise InvalidArgumentError(f"recover={self.recover!r} is neither True nor False")
        if not isinstance(self.policy, Policy):
            raise InvalidArgumentError(f"policy={self.policy!r} is not a rerun_mp.Policy, such as Policy.DROP")


def _is_address(url: str, schemes: tuple[str, ...], path: str = "") -> bool:
    """Say whether a URL has one of these schemes, a host, a port and this path."""
    from urllib.parse import urlsplit  # programs without a head need not load it

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and bool(port) and parts.path.rstrip("/") == path
