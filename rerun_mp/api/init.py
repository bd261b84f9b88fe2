"""`init` and `new_recording`: what a program calls first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.api import active, routing
from rerun_mp.api.recording import RecordingStream
from rerun_mp.api.start import begin
from rerun_mp.compat import versions
from rerun_mp.hooks.strictness import set_strict_mode, warn
from rerun_mp.session import current

if TYPE_CHECKING:
    import uuid

    from rerun.blueprint import BlueprintLike

    from rerun_mp.settings import Settings

__all__ = ["init", "new_recording", "version"]


def init(
    application_id: str,
    recording_id: str | uuid.UUID | None = None,
    spawn: bool = False,
    init_logging: bool = True,
    default_enabled: bool = True,
    strict: bool | None = None,
    exp_init_blueprint: bool = False,
    exp_add_to_app_default_blueprint: bool = True,
    default_blueprint: BlueprintLike | None = None,
    send_properties: bool = True,
    *,
    settings: Settings | None = None,
    session: str | None = None,
) -> None:
    """Begin a recording and make it this process's global one.

    The call founds the session of this process tree, or joins it. Child processes need no `init`. Further calls, also
    in a forked child, change nothing and yield the same recording.

    Parameters
    ----------
    application_id
        Name of the application, by which viewers group recordings. A name that begins with `rerun_example_` seeds
        `random` and numpy with 0.
    recording_id
        By default a UUIDv4 derived from the session and the application, equal in all processes of the session.
    spawn
        Whether to start a viewer and send the recording to it; see `rerun_mp.spawn`.
    init_logging
        Whether to begin a recording at all.
    default_enabled
        Whether the recording takes data, unless the environment variable RERUN says "on" or "off".
    strict
        Whether wrong calls raise (True) or warn (False); by default as RERUN_STRICT says, else False.
    exp_init_blueprint, exp_add_to_app_default_blueprint
        Ignored; rerun-sdk had these parameters until 0.15.
    default_blueprint
        How the spawned viewer shows the application by default.
    send_properties
        Whether to log the start time, unless another process of the session has begun this recording before.
    settings
        Limits and policies of the session; by default as the environment says. Only the founder's settings count.
    session
        Name of a session, such as robot-7, that processes of this user share although they have no common ancestor. The
        sinks that each of them sets take the rows of all. By default RERUN_MP_SESSION, else none: the session of this
        process tree.

    Raises
    ------
    ValueError
        If the application id is empty, or `session` can be no name.
    SharedMemoryError, PrivacyError, SessionError
        If the session cannot be founded or joined.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.init("my_app")  # doctest: +SKIP
    """
    if isinstance(application_id, str) and application_id.startswith("rerun_example_"):
        _seed()
    if exp_init_blueprint or not exp_add_to_app_default_blueprint:
        warn("init: exp_init_blueprint and exp_add_to_app_default_blueprint do nothing; use default_blueprint.", None)
    if strict is not None:
        set_strict_mode(strict)
    if session is not None:
        current.choose_session(session)
    if init_logging:
        stream = RecordingStream.of_state(
            begin(
                application_id,
                recording_id,
                is_enabled=default_enabled,
                make_default=True,
                send_properties=send_properties,
                settings=settings,
            )
        )
        active.replace_global_recording(stream)
    if spawn:
        routing.spawn(default_blueprint=default_blueprint)


def new_recording(
    application_id: str,
    recording_id: str | uuid.UUID | None = None,
    make_default: bool = False,
    make_thread_default: bool = False,
    spawn: bool = False,
    default_enabled: bool = True,
) -> RecordingStream:
    """Begin a recording and return a handle of it.

    Unlike `RecordingStream(...)`, it derives the recording id by default from the session and the application, as
    `init` does: every process that calls this with the same application id gets the same recording.

    Parameters
    ----------
    application_id, recording_id, default_enabled
        See `init`.
    make_default, make_thread_default
        Whether the recording becomes the global one, or the calling thread's.
    spawn
        Whether to start a viewer and send the recording to it.

    Raises
    ------
    ValueError
        If the application id is empty.
    SharedMemoryError, PrivacyError, SessionError
        If the session cannot be founded or joined.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> recording = rr.new_recording("my_app")  # doctest: +SKIP
    """
    stream = RecordingStream.of_state(
        begin(
            application_id,
            recording_id,
            is_enabled=default_enabled,
            make_default=make_default,
            send_properties=True,
        )
    )
    if make_default:
        active.replace_global_recording(stream)
    if make_thread_default:
        active.replace_thread_recording(stream)
    if spawn:
        stream.spawn()
    return stream


def version() -> str:
    """Return the versions of this package, of rerun-sdk and of Python, and the platform, for bug reports.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.version().split()[0]
    'rerun_mp'
    """
    return versions.description()


def _seed() -> None:
    import random

    import numpy as np

    random.seed(0)
    np.random.seed(0)
