"""The command `rerun-mp`: run programs, look at sessions, recover what was killed. Needs typer and rich."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Do what the command line says, and exit."""
    from rerun_mp.hooks import when_loaded as imports

    imports.leave_rerun_alone()
    try:
        from rerun_mp.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write(
            f"rerun-mp: {error.name} is not installed; install it with: pip install 'rerun_mp[cli]'. Without it there "
            "is `python -m rerun_mp recover`.\n"
        )
        sys.exit(2)
    app(prog_name="rerun-mp")
