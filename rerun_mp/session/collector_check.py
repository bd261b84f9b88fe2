"""Says before the first row whether a collector can run, and why one could not.

`init` of a founder waits for its collector if anything about the start is unusual: another interpreter than the
program's own, a needed package in another place or version than an installer puts it, or an unknown rerun-sdk. A usual
start is not waited for, because a worker needs half a second to load. Any thread may call.
"""

from __future__ import annotations

import os
import re
import time
from importlib.machinery import PathFinder
from io import FileIO

from rerun_mp.compat import versions
from rerun_mp.errors import CollectorError, SharedMemoryError
from rerun_mp.hooks.interpreters import VARIABLE, find_python, is_plain_python
from rerun_mp.session.waiting import pause_length
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Header, Lock
from rerun_mp.shm.segment import Segment
from rerun_mp.shm.transient import close_in_children, no_forks
from rerun_mp.standard_error import tell

__all__ = ["LOG", "await_first_worker", "check_pause", "is_starting", "is_usual_start", "missing_packages"]

LOG = "collector.log"
"""Name of the collector's log in the runtime directory."""
NEEDED = (("numpy", (2,)), ("pyarrow", (18,)), ("rerun_bindings", ()))
"""Packages that a worker loads, and the lowest version of each that works."""
FIRST_ATTEMPTS = 2
"""Failed starts of a session's first worker after which `init` gives up."""
START_SECS = 60.0
"""Seconds that `init` waits for the first worker. Beyond them the machine is slow, and `init` goes on."""
REASON_LINES = 3
"""Lines of the collector's log that an error quotes."""
EXCEPTION = re.compile(r"[\w.]+(Error|Exception|Exit|Interrupt)\b")
"""The last line of a traceback."""
REASON_BYTES = 2000
"""Bytes at the end of the log that are searched for these lines."""


def is_usual_start(paths: list[str]) -> bool:
    """Return whether a collector that finds modules along `paths` can be expected to start."""
    if os.environ.get(VARIABLE) or not is_plain_python() or versions.is_unknown():
        return False
    return not missing_packages(paths)


def missing_packages(paths: list[str]) -> list[str]:
    """Return those of a worker's packages that are not found along `paths` as installed, in a version that works."""
    return [package for package, minimum in NEEDED if not _is_installed(package, minimum, paths)]


def _is_installed(package: str, minimum: tuple[int, ...], paths: list[str]) -> bool:
    """Return whether an installer has put this package there, in a version that works."""
    spec = PathFinder.find_spec(package, paths)
    if spec is None or not spec.submodule_search_locations or not spec.origin:
        return False
    if not minimum:
        return True
    try:
        beside = os.listdir(os.path.dirname(os.path.dirname(spec.origin)))
    except OSError:
        return False
    begin, end = f"{package}-", ".dist-info"
    versions = [name[len(begin) : -len(end)] for name in beside if name.startswith(begin) and name.endswith(end)]
    return len(versions) == 1 and _numbers(versions[0]) >= minimum


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


def await_first_worker(segment: Segment) -> None:
    """Wait until the session's first worker is ready to take rows.

    Raises
    ------
    CollectorError
        If the collector's processes end before that.
    """
    words = segment.ring.words
    deadline = time.monotonic() + START_SECS
    attempt = 0
    while time.monotonic() < deadline:
        # Read before the locks: a guard that has started a worker may end.
        is_ready, failures = words[Header.READY_WORKERS], words[Header.FAILED_STARTS]
        if is_ready:
            return
        if failures >= FIRST_ATTEMPTS or (not is_starting(segment) and not words[Header.READY_WORKERS]):
            raise _cannot_run(segment)
        time.sleep(pause_length(attempt))
        attempt += 1
    tell(f"rerun_mp: the collector is not ready after {START_SECS:g} s; rows wait in shared memory\n")


def check_pause(segment: Segment) -> None:
    """Raise if the guard starts no worker at this time, because the last ones failed.

    Raises
    ------
    CollectorError
        With the reason.
    """
    until = segment.ring.words[Header.NO_START_BEFORE]
    if until and time.monotonic_ns() < until:
        raise _cannot_run(segment)


def is_starting(segment: Segment) -> bool:
    """Say whether a starter, guard or worker lives."""
    try:
        with no_forks(), FileIO(segment.open(), "r+") as file:
            return leases.is_held(close_in_children(file), Lock.STARTER, Lock.WORKER + 1 - Lock.STARTER)
    except SharedMemoryError:
        return False


def _cannot_run(segment: Segment) -> CollectorError:
    return CollectorError(
        f"the collector cannot run: {segment.ring.words[Header.FAILED_STARTS]} starts of its worker failed. Its log "
        f"says: {_end_of_log(segment.runtime_directory)}. It runs with {find_python()}, under the limits "
        f"of this process; correct that installation or the limits (ulimit -a), or set {VARIABLE} to another Python."
    )


def _end_of_log(directory: str) -> str:
    """Return the last lines of the collector's log that are not the guard's."""
    try:
        with open(os.path.join(directory, LOG), "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - REASON_BYTES))
            text = log.read().decode(errors="replace")
    except OSError as error:
        return f"nothing ({error.strerror})"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("guard ")]
    # A traceback ends with the exception; the lines before it quote code.
    has_exception = bool(lines) and EXCEPTION.match(lines[-1]) is not None
    lines = lines[-1:] if has_exception else lines[-REASON_LINES:]
    return " / ".join(lines) or "nothing"
