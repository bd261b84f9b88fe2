"""Settings of a session: arguments first, then environment variables, then these defaults.

Read once by the process that founds the session; the others learn them from the segment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum

from rerun_mp.errors import InvalidArgumentError

__all__ = ["Policy", "Settings"]


class Policy(IntEnum):
    """What a call does when the ring is full."""

    BLOCK = 0
    """Wait for space, for ever or for the given timeout, and then raise `RingFullError`."""
    DROP = 1
    """Drop the row and count it."""
    RAISE = 2
    """Raise `RingFullError` at once."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits and policies of a session."""

    ring_bytes: int = 64 * 1024 * 1024
    """Size of all slots together in bytes; less where /dev/shm has less (half of what is free). RERUN_MP_RING_BYTES."""
    slot_bytes: int = 256 * 1024
    """Size of a slot in bytes, whole pages; halved, down to 64 KiB, where the ring is small. RERUN_MP_SLOT_BYTES."""
    producers: int = 2048
    """How many processes may log at one time. RERUN_MP_PRODUCERS."""
    policy: Policy = Policy.BLOCK
    """RERUN_MP_POLICY: block, drop or raise."""
    block_timeout: float | None = None
    """Seconds that `block` waits at most; None: for ever. RERUN_MP_BLOCK_TIMEOUT."""
    exit_timeout: float = 60.0
    """Seconds that a process waits at its exit for its rows and files at most. RERUN_MP_EXIT_TIMEOUT."""

    @classmethod
    def from_environment(cls) -> Settings:
        """Return the defaults with what the environment overrides.

        Raises
        ------
        InvalidArgumentError
            If a variable cannot be read; the message names it.
        """
        defaults = cls()
        return cls(
            ring_bytes=_number("RERUN_MP_RING_BYTES", defaults.ring_bytes),
            slot_bytes=_number("RERUN_MP_SLOT_BYTES", defaults.slot_bytes),
            producers=_number("RERUN_MP_PRODUCERS", defaults.producers),
            policy=_policy("RERUN_MP_POLICY", defaults.policy),
            block_timeout=_seconds("RERUN_MP_BLOCK_TIMEOUT", defaults.block_timeout),
            exit_timeout=_seconds("RERUN_MP_EXIT_TIMEOUT", defaults.exit_timeout) or 0.0,
        )


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable)
    if text is None:
        return default
    if not text.strip().isdecimal():
        raise InvalidArgumentError(
            f"{variable}={text!r} is not a whole number; unset it or give one, such as {default}"
        )
    return int(text)


def _seconds(variable: str, default: float | None) -> float | None:
    text = os.environ.get(variable)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise InvalidArgumentError(f"{variable}={text!r} is not a number of seconds; unset it or give one, such as 30")
    return seconds


def _policy(variable: str, default: Policy) -> Policy:
    text = os.environ.get(variable)
    if text is None:
        return default
    try:
        return Policy[text.strip().upper()]
    except KeyError:
        raise InvalidArgumentError(f"{variable}={text!r} is not one of block, drop, raise") from None
