"""`rerun-mp recover`: bring what killed programs left into their files.

The standard library and the base package suffice, because the founder of a session starts `python -m rerun_mp recover`
in the background, also where typer and rich are not installed.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rerun_mp.errors import RerunMpError, SessionEndedError
from rerun_mp.monitoring import recovery
from rerun_mp.printable import printable
from rerun_mp.session import directories, leftovers, recovery_notes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rerun_mp.monitoring.recovery import Inspection
    from rerun_mp.session.leftovers import LeftoverSession

__all__ = ["main", "recover"]

WRONG_CALL = 2
"""Exit status for arguments that make no sense, as argparse and typer have it."""
DESCRIPTION = """\
When a program is killed together with its collector, its rows stay in shared memory and on disk. This command brings
them into the file that the program was saving to, each row once, and removes the rest. Rows without a file go into a
new .rrd file in --into. Sessions with a live process are not touched. The next program that calls rerun_mp.init() does
the same in the background, for sessions that were founded in the same /dev/shm, or before the last start of the
machine.
"""
EPILOG = """\
exit status: 0 if nothing is left to recover; 1 if something could not be recovered, with the reason; 2 for a wrong
call. With --list: 0, or 1 if something cannot be read.
"""


def main(arguments: Sequence[str]) -> int:
    """Parse the arguments after `recover`, recover, and return the exit status."""
    parser = argparse.ArgumentParser(
        "python -m rerun_mp recover",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sessions", nargs="*", metavar="SESSION", help="a name that --list prints; by default all")
    parser.add_argument("--list", action="store_true", help="only print the leftover sessions")
    parser.add_argument(
        "--into", metavar="DIRECTORY", help=f"for rows without a file (default: {directories.rescue_base()})"
    )
    parser.add_argument("--quiet", action="store_true", help="print problems only")
    parser.add_argument(
        "--automatic", action="store_true", help="as init() does: quietly, and only sessions that are certainly dead"
    )
    chosen = parser.parse_args(arguments)
    return recover(
        chosen.sessions,
        only_list=chosen.list,
        into=chosen.into,
        quiet=chosen.quiet or chosen.automatic,
        automatic=chosen.automatic,
    )


def recover(
    sessions: Sequence[str] = (),
    *,
    only_list: bool = False,
    into: str | None = None,
    quiet: bool = False,
    automatic: bool = False,
) -> int:
    """Recover leftover sessions, or list them, and return the exit status.

    Parameters
    ----------
    sessions
        Names of leftover sessions. Empty: all.
    only_list
        Print what each session holds, and change nothing.
    into
        Directory for rows without a file. None: `directories.rescue_base()`.
    quiet
        Print problems only.
    automatic
        Recover only sessions that are certainly dead.
    """
    problems: list[str] = []
    try:
        left, unreadable = leftovers.find_leftovers()
        unknown = set(sessions) - {session.name for session in left}
        if unknown:
            sys.stderr.write(f"rerun_mp: no leftover session is named {', '.join(sorted(unknown))}; see --list\n")
            return WRONG_CALL
        if automatic:
            left = [session for session in left if session.is_certain]
        if sessions:
            left = [session for session in left if session.name in sessions]
        for session in left:
            if automatic:
                problems += _recover_automatically(session)
            else:
                problems += _list(session) if only_list else _recover(session, into, quiet=quiet)
        if only_list:
            sys.stderr.writelines(f"rerun_mp: {printable(reason)}\n" for reason in unreadable)
    except KeyboardInterrupt:
        sys.stderr.write("rerun_mp: interrupted; the collectors that were started go on\n")
        return 1
    if not left and not quiet:
        print("nothing is left to recover")
    for problem in problems:
        sys.stderr.write(f"rerun_mp: {printable(problem)}\n")
    return 1 if problems else 0


def _list(left: LeftoverSession) -> list[str]:
    """Print what a session holds, and return the reasons why parts of it cannot be read."""
    try:
        found = recovery.inspect(left)
    except (SessionEndedError, FileNotFoundError):
        return []  # recovered meanwhile
    except (RerunMpError, OSError) as error:
        return [f"{left.name}: {error}"]
    _describe(left, found)
    for key in sorted({*found.rows, *found.files}):
        files = ", ".join(found.files.get(key, [])) or "no file"
        print(printable(f"  {key.application_id} ({key.recording_id}): {found.rows[key]:,} rows undelivered, {files}"))
    return []


def _recover_automatically(left: LeftoverSession) -> list[str]:
    """Recover a session that the user has not named, and note its files, so that the next program sets them aside."""
    try:
        files = {path for paths in recovery.targets_of(left).values() for path in paths}
    except (RerunMpError, OSError):
        files = set()
    for path in files:
        recovery_notes.write(path, left.name, is_done=False)
    problems = _recover(left, None, quiet=True)
    for path in files:
        recovery_notes.write(path, left.name, is_done=True)
    return problems


def _recover(left: LeftoverSession, into: str | None, *, quiet: bool) -> list[str]:
    """Recover a session, print the files that its rows are in, and return the reasons why rows are not in a file."""
    found = None
    if not quiet:
        try:
            found = recovery.inspect(left)
        except (SessionEndedError, FileNotFoundError):
            pass  # another recovery is faster; the one below waits for its end
        except (RerunMpError, OSError) as error:
            sys.stderr.write(f"rerun_mp: {left.name}: {error}\n")
        else:
            _describe(left, found)
    problem = recovery.recover(left, into)
    if found is not None:
        for key, files in recovery.files_of(left, found, into).items():
            if files:
                rows = f"{found.rows[key]:,} rows, in {', '.join(files)}"
                print(printable(f"  {key.application_id} ({key.recording_id}): {rows}"))
    return [] if problem is None else [f"{left.name}: {problem}"]


def _describe(left: LeftoverSession, found: Inspection) -> None:
    pids = f"killed processes {', '.join(map(str, found.pids))}, " if found.pids else ""
    # Flushed, because the recovery that follows may take long.
    print(
        f"session {left.name}: {pids}{found.num_bytes / 1e6:.1f} MB, begun {_duration(found.age_secs)} ago", flush=True
    )


def _duration(secs: float) -> str:
    for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if secs >= 2 * length:
            return f"{secs / length:.0f} {unit}"
    return f"{secs:.0f} seconds"
