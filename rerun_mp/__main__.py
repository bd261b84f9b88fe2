"""`python -m rerun_mp`: the command `rerun-mp`; of it, `recover` needs nothing but the package itself."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rerun_mp.errors import RerunMpError
from rerun_mp.hooks import when_loaded as imports
from rerun_mp.monitoring import recovery
from rerun_mp.session import directories, leftovers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rerun_mp.monitoring.recovery import Inspection
    from rerun_mp.session.leftovers import LeftSession

__all__ = ["main"]

DESCRIPTION = """\
When a program is killed together with its collector, what it had logged stays in shared memory and on disk. This brings
it into the file that the program was saving to, each row once, and removes the rest. What has no file goes into a new
.rrd file in --into. Sessions in which any process lives are not touched. The next program that calls rerun_mp.init()
does the same in the background.
"""
EPILOG = """\
exit status: 0 if nothing is left to recover; 1 if something could not be recovered, which is said; 2 for a wrong call.
With --list: 0, or 1 if something cannot be read.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit status."""
    imports.leave_rerun_alone()
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] != "recover":
        from rerun_mp import cli

        cli.main()
    parser = argparse.ArgumentParser("python -m rerun_mp", description="Rerun for process trees.")
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser(
        "recover",
        help="bring what killed programs left into their files",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("sessions", nargs="*", metavar="SESSION", help="as --list names it; by default all")
    command.add_argument("--list", action="store_true", help="only say what lies about")
    command.add_argument(
        "--into", metavar="DIRECTORY", help=f"for rows that have no file (default: {directories.rescue_base()})"
    )
    command.add_argument("--quiet", action="store_true", help="print problems only")
    chosen = parser.parse_args(arguments)
    problems: list[str] = []
    try:
        left, unreadable = leftovers.find_left()
        if chosen.sessions:
            unknown = set(chosen.sessions) - {one.name for one in left}
            if unknown:
                parser.error(f"no session of that name lies about: {', '.join(sorted(unknown))}")
            left = [one for one in left if one.name in chosen.sessions]
        for one in left:
            problems += _list(one) if chosen.list else _recover(one, chosen.into, quiet=chosen.quiet)
        if chosen.list:
            sys.stderr.writelines(f"rerun_mp: {reason}\n" for reason in unreadable)
    except KeyboardInterrupt:
        sys.stderr.write("rerun_mp: interrupted; the collectors that were started go on\n")
        return 1
    if not left and not chosen.quiet:
        print("nothing is left to recover")
    for problem in problems:
        sys.stderr.write(f"rerun_mp: {problem}\n")
    return 1 if problems else 0


def _list(left: LeftSession) -> list[str]:
    """Print what lies about of a session; return what cannot be read of it."""
    try:
        found = recovery.inspect(left)
    except (RerunMpError, OSError) as error:
        return [f"{left.name}: {error}"]
    _describe(left, found)
    for key in sorted({*found.rows, *found.files}):
        files = ", ".join(found.files.get(key, [])) or "no file"
        print(f"  {key.application_id} ({key.recording_id}): {found.rows[key]:,} rows undelivered, {files}")
    return []


def _recover(left: LeftSession, into: str | None, *, quiet: bool) -> list[str]:
    """Recover a session and print what was done; return what was not."""
    found = None
    if not quiet:
        try:
            found = recovery.inspect(left)
        except (RerunMpError, OSError) as error:
            sys.stderr.write(f"rerun_mp: {left.name}: {error}\n")
        else:
            _describe(left, found)
    problem = recovery.recover(left, into)
    if found is not None:
        for key, files in recovery.files_of(left, found, into).items():
            if files:
                print(f"  {key.application_id} ({key.recording_id}): {found.rows[key]:,} rows, in {', '.join(files)}")
    return [] if problem is None else [f"{left.name}: {problem}"]


def _describe(left: LeftSession, found: Inspection) -> None:
    pids = f"of the killed processes {', '.join(map(str, found.pids))}, " if found.pids else ""
    print(
        f"session {left.name}: {pids}{found.num_bytes / 1e6:.1f} MB, begun {_duration(found.age_secs)} ago", flush=True
    )


def _duration(secs: float) -> str:
    for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if secs >= 2 * length:
            return f"{secs / length:.0f} {unit}"
    return f"{secs:.0f} seconds"


if __name__ == "__main__":
    sys.exit(main())
