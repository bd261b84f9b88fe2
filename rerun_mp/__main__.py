"""`python -m rerun_mp`: the command `rerun-mp`. Its parts `recover` and `send` work without typer and rich."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rerun_mp import cli

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status of `recover` or `send`. Every other command exits by itself."""
    cli.refuse_without_protection()
    from rerun_mp.cli import recover, send
    from rerun_mp.hooks import when_loaded

    arguments = sys.argv[1:] if arguments is None else arguments
    alone = {"recover": recover.main, "send": send.main}
    command = alone.get(arguments[0]) if arguments else None
    if command is None:
        cli.main()
    when_loaded.leave_rerun_alone()
    return command(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
