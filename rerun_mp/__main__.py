"""`python -m rerun_mp`: the command `rerun-mp`. Its part `recover` works without typer and rich."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rerun_mp import cli
from rerun_mp.cli import recover
from rerun_mp.hooks import when_loaded

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status of `recover`. Every other command exits by itself."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] != "recover":
        cli.main()
    when_loaded.leave_rerun_alone()
    return recover.main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
