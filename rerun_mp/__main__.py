"""`python -m rerun_mp`: the command `rerun-mp`. Without typer and rich, a part of its commands works."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from rerun_mp import cli
from rerun_mp.cli.output import checked_output

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

ALONE = ("recover", "send", "head", "nodes", "ship")
"""Commands that work without typer and rich: each is a module of `cli`, loaded only when it is called."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status. A command that needs typer exits by itself."""
    cli.refuse_without_protection()
    from rerun_mp.hooks import when_loaded

    arguments = sys.argv[1:] if arguments is None else arguments
    name = arguments[0] if arguments else ""
    if name not in ALONE:
        cli.main()
    when_loaded.leave_rerun_alone()
    with checked_output():
        status: int = import_module(f"rerun_mp.cli.{name}").main(arguments[1:])
    return status


if __name__ == "__main__":
    sys.exit(main())
