"""`begin`: make a recording known to the session, which the call founds or joins.

A further call for the same recording, in any process, changes nothing. Any thread may call.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rerun_mp.api.state import RecordingState, state_of
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import InvalidArgumentError, WrongKindError
from rerun_mp.hooks import forking
from rerun_mp.producer.hot_appends import compile_usual
from rerun_mp.session import current, jobs, leftovers, sink_changes
from rerun_mp.settings import parse_switch
from rerun_mp.standard_error import tell

if TYPE_CHECKING:
    import uuid

    from rerun_mp.session.session import Session
    from rerun_mp.settings import Settings

__all__ = ["begin"]

NOT_IN_RERUN = ("yes", "no")
"""Words for on and off that the variable RERUN does not take: rerun warns of them."""
NEEDED_FOR_LOGGING = ("rerun", "rerun_mp.encoding.encoder", "numpy.ma")
"""Modules to load before a fork, so that children need not. Rerun's archetypes load `numpy.ma` at their first use."""

MAX_ID_BYTES = 0xFFFF
"""Maximum length of an application or recording id in bytes: a frame holds the length as a u16."""


def begin(
    application_id: str,
    recording_id: str | uuid.UUID | None,
    *,
    is_enabled: bool,
    make_default: bool,
    send_properties: bool,
    settings: Settings | None = None,
) -> RecordingState | None:
    """Make a recording known to the session, with its start time if it is new. Returns None if it is disabled.

    Parameters
    ----------
    application_id, recording_id
        The recording. By default its id is derived from the session and the application id.
    is_enabled
        Whether it takes data, unless the environment variable RERUN says "on" or "off".
    make_default
        Whether it becomes the session's default. A process that did not found the session sets only a missing default.
    send_properties
        Whether to log the start time.
    settings
        The session's settings, if this call founds it.

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
        leftovers.recover_in_background(application_id)
    forking.load_before_forks(*NEEDED_FOR_LOGGING, prepare=lambda: _prepare(joined))
    if recording_id is None and joined.is_rank:
        jobs.tell_if_repeated()
    key = RecordingKey(application_id, recording_id or joined.default_recording_id(application_id))
    state = state_of(key)
    # The collector logs the start time. Encoding it here would load pyarrow at the start of every program.
    sink_changes.register_recording(
        joined, key, make_default=make_default, start_time_ns=time.time_ns() if send_properties else None
    )
    return state


def _prepare(joined: Session) -> None:
    """Do once, before the first fork, what would take the first row of each forked child longer than the whole rest."""
    from rerun_mp.session.rehearsal import rehearse  # a process that never forks need not load it

    compile_usual()
    rehearse(joined.segment.runtime_directory)


def _check_id(argument: str, value: object) -> None:
    if not isinstance(value, str):
        raise WrongKindError(f"argument '{argument}': '{type(value).__name__}' object is not an instance of 'str'")
    if len(value.encode()) > MAX_ID_BYTES:
        raise InvalidArgumentError(
            f"argument '{argument}' has {len(value)} characters; give at most {MAX_ID_BYTES} bytes"
        )


def _is_enabled(default: bool) -> bool:
    text = os.environ.get("RERUN")
    if text is None:
        return default
    value = parse_switch(text)
    if value is not None and text.lower() not in NOT_IN_RERUN:
        return value
    tell(f"rerun_mp: RERUN={text!r} is neither 'on' nor 'off'; ignored\n")
    return default
