"""The command `rerun-mp`: run programs, watch sessions, recover killed ones. Most of it needs typer and rich."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    from rerun_mp.hooks import when_loaded

    when_loaded.leave_rerun_alone()
    try:
        from rerun_mp.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write(
            f"rerun-mp: {error.name} is not installed; install it with: pip install 'rerun_mp[cli]'. "
            "`python -m rerun_mp recover` and `send` work without it.\n"
        )
        sys.exit(2)
    app(prog_name="rerun-mp")
    sys.exit()
