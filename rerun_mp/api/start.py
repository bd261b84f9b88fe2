"""Beginning a recording: in the session, founded or joined for it.

Beginning the same recording again, in any process, changes nothing. Any thread may call.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from rerun_mp.api.state import RecordingState, state_of
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import InvalidArgumentError, WrongKindError
from rerun_mp.hooks import forking
from rerun_mp.session import current, leftovers, sink_changes
from rerun_mp.settings import parse_switch

if TYPE_CHECKING:
    import uuid

    from rerun_mp.settings import Settings

__all__ = ["begin"]

NOT_IN_RERUN = ("yes", "no")
"""Words for on and off that the variable RERUN does not take: rerun warns of them."""
NEEDED_FOR_LOGGING = ("rerun", "rerun_mp.encoding.encoder", "numpy.ma")
"""The last is loaded by rerun's archetypes when the first is made."""

MAX_ID_LETTERS = 0xFFFF
"""Bytes of the longest application or recording id: its length is a u16 in a frame."""


def begin(
    application_id: str,
    recording_id: str | uuid.UUID | None,
    *,
    is_enabled: bool,
    make_default: bool,
    send_properties: bool,
    settings: Settings | None = None,
) -> RecordingState | None:
    """Make a recording known to the session, with its start time if it is new. None: it is disabled.

    Parameters
    ----------
    application_id, recording_id
        The recording; without a recording id, that which every process of the session derives from the application's.
    is_enabled
        Whether it is enabled, if the environment variable RERUN does not say.
    make_default
        Whether it becomes what joining processes have by default, if there is none or this process founded the session.
    send_properties
        Whether the start time is logged.
    settings
        Of the session, if it does not exist yet.

    Raises
    ------
    TypeError, ValueError
        If the ids cannot be used.
    SharedMemoryError, PrivacyError, SessionError
        If the session cannot be founded or joined.
    """
    _check_id("application_id", application_id)
    if not application_id:
        raise InvalidArgumentError("Application ID must not be empty")
    if recording_id is not None:
        recording_id = str(recording_id)
        _check_id("recording_id", recording_id)
    if not _is_enabled(is_enabled):
        return None
    joined = current.found_or_join(settings)
    if joined.is_founder and joined.settings.recover:
        leftovers.recover_in_background()
    forking.load_before_forks(*NEEDED_FOR_LOGGING)
    key = RecordingKey(application_id, recording_id or joined.default_recording_id(application_id))
    state = state_of(key)
    # The collector logs the start time: encoding it here would load pyarrow into every program's start.
    sink_changes.register_recording(
        joined, key, make_default=make_default, start_time_ns=time.time_ns() if send_properties else None
    )
    return state


def _check_id(argument: str, value: object) -> None:
    if not isinstance(value, str):
        raise WrongKindError(f"argument '{argument}': '{type(value).__name__}' object is not an instance of 'str'")
    if len(value.encode()) > MAX_ID_LETTERS:
        raise InvalidArgumentError(
            f"argument '{argument}' has {len(value)} characters; give at most {MAX_ID_LETTERS} bytes"
        )


def _is_enabled(default: bool) -> bool:
    text = os.environ.get("RERUN")
    if text is None:
        return default
    value = parse_switch(text)
    if value is not None and text.lower() not in NOT_IN_RERUN:
        return value
    sys.stderr.write(f"rerun_mp: RERUN={text!r} is neither 'on' nor 'off'; ignored\n")
    return default
