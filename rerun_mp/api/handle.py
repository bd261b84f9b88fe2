"""`RecordingHandle`: the part of `RecordingStream` that the modules below it need.

A handle holds a reference to a recording's state and nothing else. `recording` registers the class that makes handles,
so that the modules between here and there can make one without importing it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.api.state import RecordingState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from rerun_mp.encoding.frames import RecordingKey

__all__ = ["RecordingHandle", "handle_of", "register_handle_class"]


class RecordingHandle:
    """A reference to a recording: equal, hashed and pickled by the recording's key."""

    __slots__ = ("__weakref__", "state")

    state: RecordingState | None
    """What this process knows of the recording; None if the recording is disabled."""

    @classmethod
    def of_state(cls, state: RecordingState | None) -> Self:
        """Return a handle of a recording of this process, or of a disabled one."""
        self = cls.__new__(cls)
        self._hold(state)
        return self

    def _hold(self, state: RecordingState | None) -> None:
        self.state = state
        if state is not None:
            state.handles[id(self)] = None

    def __reduce__(self) -> tuple[Callable[..., RecordingHandle], tuple[RecordingKey | None]]:
        return handle_of, (None if self.state is None else self.state.key,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordingHandle) and self.state is other.state

    def __hash__(self) -> int:
        return hash(None if self.state is None else self.state.key)

    def __repr__(self) -> str:
        if self.state is None:
            return "RecordingStream(disabled)"
        return f"RecordingStream({self.state.key.application_id!r}, recording_id={self.state.key.recording_id!r})"


_handle_class = RecordingHandle


def register_handle_class(handle_class: type[RecordingHandle]) -> None:
    """Have `handle_of` make handles of this class."""
    global _handle_class
    _handle_class = handle_class


def handle_of(key: RecordingKey | None) -> RecordingHandle:
    """Return a `RecordingStream` for a recording that the session knows; without a key, a disabled one."""
    return _handle_class.of_state(None if key is None else state_of(key))
