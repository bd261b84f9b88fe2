"""Decorators: a recording per function, a generator's own recording, and a wait at the end of a process."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from rerun_mp.api.active import active_recording_stream
from rerun_mp.api.recording import RecordingStream
from rerun_mp.errors import FlushTimeoutError
from rerun_mp.session import current
from rerun_mp.standard_error import tell

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["recording_stream_generator_ctx", "shutdown_at_exit", "thread_local_stream"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., Any]")


def shutdown_at_exit(func: Callable[P, R]) -> Callable[P, R]:
    """Decorate the entry point of a process: when it ends, wait until the collector has stored its rows.

    Rows are safe without it. The wait is bounded (RERUN_MP_EXIT_TIMEOUT, 60 s) and shows progress on a terminal if it
    takes more than a second. It happens whether the function returns or raises.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> @rr.shutdown_at_exit
    ... def work() -> None:
    ...     rr.log("message", rr.TextLog("hello"))
    """

    @wraps(func)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return func(*args, **kwargs)
        finally:
            _wait_for_collector()

    return wrapper


def _wait_for_collector() -> None:
    joined = current.session()
    if joined is None:
        return
    joined.seal()
    try:
        joined.flush(joined.settings.exit_timeout)
    except FlushTimeoutError as error:
        tell(f"rerun_mp: {error}\n")


def thread_local_stream(application_id: str) -> Callable[[F], F]:
    """Decorate a function so that each call has a new recording, active in its thread while it runs.

    In a generator function the recording is active only while the generator runs, not between its steps.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> @rr.thread_local_stream("my_job")
    ... def job(name: str) -> None:
    ...     rr.save(f"job_{name}.rrd")
    ...     rr.log("message", rr.TextLog(f"hello from {name}"))
    """

    def decorate(func: F) -> F:
        if _is_generator_function(func):

            @wraps(func)
            def generate(*args: Any, **kwargs: Any) -> Any:
                generator = func(*args, **kwargs)
                stream = RecordingStream(application_id)
                stream._resume()
                try:
                    value = next(generator)
                    while True:
                        stream._suspend()
                        try:
                            sent = yield value
                        finally:
                            stream._resume()
                        value = generator.send(sent)
                except StopIteration as end:
                    return end.value
                finally:
                    stream._suspend()
                    with stream:
                        generator.close()

            return cast("F", generate)

        @wraps(func)
        def call(*args: Any, **kwargs: Any) -> Any:
            with RecordingStream(application_id):
                return func(*args, **kwargs)

        return cast("F", call)

    return decorate


def recording_stream_generator_ctx(func: F) -> F:
    """Decorate a generator function that yields inside `with recording:`, so that its recording stays its own.

    Without it, rows that the caller logs between two steps would go to the generator's recording; see
    <https://github.com/rerun-io/rerun/issues/6238>.

    Raises
    ------
    ValueError
        If `func` is no generator function.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> @rr.recording_stream_generator_ctx
    ... def steps(name: str):
    ...     with rr.RecordingStream(name):
    ...         for step in range(10):
    ...             rr.log("step", rr.Scalars(step))
    ...             yield step
    """
    if not _is_generator_function(func):
        raise ValueError("Only generator functions can be decorated with `recording_stream_generator_ctx`")

    @wraps(func)
    def generate(*args: Any, **kwargs: Any) -> Any:
        generator = func(*args, **kwargs)
        suspended: RecordingStream | None = None
        try:
            value = next(generator)
            while True:
                suspended = cast("RecordingStream | None", active_recording_stream.get())
                if suspended is not None:
                    suspended._suspend()
                sent = yield value
                if suspended is not None:
                    suspended._resume()
                value = generator.send(sent)
        except StopIteration as end:
            suspended = None
            return end.value
        finally:
            # The caller closed the generator between two steps. Its `with` needs the recording active to end.
            if suspended is not None:
                suspended._resume()
            generator.close()

    return cast("F", generate)


def _is_generator_function(func: Callable[..., Any]) -> bool:
    import inspect

    return inspect.isgeneratorfunction(func)
