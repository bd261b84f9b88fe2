"""`rerun-mp ship`: bring the parts that a host still has to the head, or to a directory.

A part that the target has acknowledged is removed here. The standard library and the base package suffice.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from rerun_mp.errors import RerunMpError
from rerun_mp.session.directories import rescue_base
from rerun_mp.session.node import close_parts
from rerun_mp.shipping.shipper import PartTotals, Shipper, unshipped_in

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "ship"]

RETRY_SECS = (1.0, 10.0)
"""Seconds between two attempts: the first pause, and the longest."""


def main(arguments: Sequence[str]) -> int:
    """Parse the arguments after `ship`, ship, and return the exit status."""
    parser = argparse.ArgumentParser(
        "python -m rerun_mp ship",
        description="Bring the parts that this host still has to the head. RERUN_MP_HEAD_TOKEN is the head's secret.",
        epilog="exit status: 0 if nothing is left, 1 if something is, 2 for a wrong directory",
    )
    parser.add_argument("directory", nargs="?", help="directory of the parts; by default where programs put them")
    parser.add_argument("target", nargs="?", help="a head's receiver or a directory; by default where each part goes")
    parser.add_argument("--all", action="store_true", help="bring parts that go to other targets to TARGET, too")
    parser.add_argument("--for", dest="seconds", type=float, default=0.0, help="seconds to keep trying")
    parser.add_argument("--follow", action="store_true", help="ship parts as they come, until SIGTERM, then once more")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    chosen = parser.parse_args(arguments)
    if chosen.all and chosen.target is None:
        parser.error("--all needs DIRECTORY and TARGET")
    return ship(
        chosen.directory,
        chosen.target,
        takes_all=chosen.all,
        seconds=chosen.seconds,
        is_following=chosen.follow,
        quiet=chosen.quiet,
    )


def default_directory() -> str:
    """Return where programs of this user put their parts."""
    return os.environ.get("RERUN_MP_PARTS_DIRECTORY") or os.path.join(rescue_base(), "parts")


def ship(
    directory: str | None = None,
    target: str | None = None,
    *,
    takes_all: bool = False,
    seconds: float = 0.0,
    is_following: bool = False,
    quiet: bool = False,
) -> int:
    """Ship for at most `seconds`, at least once, and print what is at the head and here. Returns the exit status.

    With `is_following` the call ships until SIGTERM or SIGINT, whatever is there, and after that once more.
    """
    # A sidecar may start before the program makes its directory.
    if directory is not None and not is_following and not os.path.isdir(directory):
        sys.stderr.write(f"rerun-mp: {directory} is no directory; give that of the parts\n")
        return 2
    directory = directory or default_directory()
    if os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK):
        sys.stderr.write(f"rerun-mp: user {os.geteuid()} may not read {directory}; run this as its owner\n")
        return 2
    stopped = threading.Event()
    if is_following:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
    shipper = Shipper(directory, os.environ.get("RERUN_MP_HEAD_TOKEN", ""), target, takes_all=takes_all)
    deadline = time.monotonic() + seconds
    pause_secs = RETRY_SECS[0]
    while True:
        is_last = stopped.is_set()
        try:
            close_parts(directory)
            is_all = shipper.ship()
        except (RerunMpError, OSError, ValueError) as error:
            is_all, shipper.failure = False, str(error)
        if is_last if is_following else is_all or time.monotonic() + pause_secs > deadline:
            break
        stopped.wait(pause_secs)
        pause_secs = RETRY_SECS[0] if is_all else min(2 * pause_secs, RETRY_SECS[1])
    shipper.close()
    if not quiet:
        print(f"shipped {shipper.shipped.parts} parts with {shipper.shipped.rows:,} rows")
    if is_all:
        if shipper.failure and not quiet:
            sys.stderr.write(f"rerun-mp: {shipper.failure}\n")
        left = unshipped_in(directory)
        if target is not None and not takes_all and left.parts and not quiet:
            sys.stderr.write(
                f"rerun-mp: {left.parts} parts with {left.rows:,} rows in {directory} go to other targets. "
                f"Add --all to bring them to {target}, too.\n"
            )
        return 0
    if not quiet:
        _say_left(directory, unshipped_in(directory, None if takes_all else target), shipper.failure)
    return 1


def _say_left(directory: str, left: PartTotals, failure: str | None) -> None:
    why = f": {failure}" if failure else ""
    if left.parts:
        sys.stderr.write(
            f"rerun-mp: {left.parts} parts with {left.rows:,} rows are still in {directory}{why}. Try again later with "
            f"`rerun-mp ship`, or copy the directory to the head's with rsync.\n"
        )
    else:
        sys.stderr.write(
            f"rerun-mp: all parts of {directory} have been shipped, but the head does not know yet that their sessions "
            f"have ended{why}. Try again later with `rerun-mp ship`.\n"
        )
