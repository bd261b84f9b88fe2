"""Which sessions nobody lives in any more: everything of their trees was killed at once, the collectors included.

Only sessions whose directories lie where this process would put its own, and are there: a container may share /dev/shm
with others, but not their files.

`recover_in_background` is called by whoever founds a session and costs it a look at some names and locks; what it
starts is `python -m rerun_mp recover`. Nothing here changes a session. Any thread may call.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.errors import RerunMpError
from rerun_mp.session import collector_start, directories
from rerun_mp.session.config_file import read_config_in
from rerun_mp.shm.survey import survey

if TYPE_CHECKING:
    from rerun_mp.session.config import RecordingSpec

__all__ = ["LeftoverSession", "find_leftovers", "recover_in_background"]

_has_looked = False
"""Whether this process, or one that it was forked from, has looked for left sessions: once is enough."""


class LeftoverSession(NamedTuple):
    """A session that nobody lives in."""

    name: str
    """What its directories are called: the beginning of its nonce."""
    segment_path: str | None
    """None: it is gone, and only files are left."""
    runtime_directory: str
    spool_directory: str


def find_leftovers() -> tuple[list[LeftoverSession], list[str]]:
    """Return the sessions that nobody lives in, and of segments that cannot be read, whosever they are, why."""
    spool_base, runtime_base = directories.spool_base(), directories.runtime_base()
    # Directories first: a session removes them before its segment, and makes them after it.
    names = {*_names_in(spool_base), *_names_in(runtime_base)}
    found, problems = survey()
    left = [
        LeftoverSession(one.nonce.hex()[:16], one.path, one.runtime_directory, one.spool_directory)
        for one in found
        if one.is_leftover
        and (
            os.path.dirname(one.spool_directory) == spool_base or os.path.dirname(one.runtime_directory) == runtime_base
        )
        and (os.path.isdir(one.spool_directory) or os.path.isdir(one.runtime_directory))
    ]
    orphans = names - {one.nonce.hex()[:16] for one in found}
    for name in sorted(orphans):
        runtime, spool = os.path.join(runtime_base, name), os.path.join(spool_base, name)
        if _is_free(spool) and (os.path.isdir(spool) or os.path.isdir(runtime)):
            left.append(LeftoverSession(name, None, runtime, spool))
    return left, problems


def _names_in(base: str) -> list[str]:
    try:
        return [name for name in os.listdir(base) if len(name) == 16 and set(name) <= set("0123456789abcdef")]
    except OSError:
        return []


def _is_free(spool: str) -> bool:
    """Say whether no worker has the spool directory; one that is not there nobody has."""
    try:
        lease = directories.hold(spool)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if lease is None:
        return False
    os.close(lease)
    return True


def recover_in_background() -> None:
    """Start recovering left sessions, if there are any, and say so in one line. Waits for nothing, raises nothing."""
    global _has_looked
    if _has_looked:
        return
    _has_looked = True
    with contextlib.suppress(OSError, RerunMpError):
        left, _ = find_leftovers()
        if left:
            collector_start.start_detached([sys.executable, "-P", "-m", "rerun_mp", "recover", "--quiet"])
            sys.stderr.write(f"rerun_mp: recovering what a killed program left, {_destinations(left)}\n")


def _destinations(left: list[LeftoverSession]) -> str:
    """Say into which files, as far as that is known without reading the rows."""
    targets: list[str] = []
    has_others = False
    for one in left:
        recordings: tuple[RecordingSpec, ...] = ()
        with contextlib.suppress(OSError, RerunMpError):
            recordings = read_config_in(one.runtime_directory).recordings
        for spec in recordings:
            files = [sink.target for sink in spec.sinks if sink.kind == "file"]
            targets += files
            has_others = has_others or not files
        has_others = has_others or not recordings
    said = [f"into {', '.join(dict.fromkeys(targets))}"] if targets else []
    if has_others:
        said.append(f"what has no file into {directories.rescue_base()}")
    return ", ".join(said)
