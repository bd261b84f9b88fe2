"""The command `rerun-mp`: run programs, watch sessions, recover killed ones. Most of it needs typer and rich."""

from __future__ import annotations

import sys
from typing import NoReturn

from rerun_mp.cli.output import checked_output
from rerun_mp.protection import is_protected, what_is_missing

__all__ = ["main", "refuse_without_protection"]


def refuse_without_protection() -> None:
    """Exit with status 2 on a machine where rerun_mp is plain rerun: there are no sessions to run or watch."""
    if not is_protected():
        sys.stderr.write(f"rerun-mp: {what_is_missing()}. Run your program without this command.\n")
        sys.exit(2)


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    refuse_without_protection()
    from rerun_mp.hooks import when_loaded

    when_loaded.leave_rerun_alone()
    try:
        from rerun_mp.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write(
            f"rerun-mp: {error.name} is not installed; install it with: pip install 'rerun_mp[cli]'. "
            "`python -m rerun_mp recover`, `send`, `head`, `nodes` and `ship` work without it.\n"
        )
        sys.exit(2)
    with checked_output():
        app(prog_name="rerun-mp")
    sys.exit()
