"""`rerun-mp nodes`: the nodes of a head: when each was last seen, and how many of its rows have arrived."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rerun_mp.printable import printable
from rerun_mp.shipping.accounts import node_accounts

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Parse the arguments after `nodes`, print the nodes, and return the exit status."""
    parser = argparse.ArgumentParser(
        "python -m rerun_mp nodes",
        description="List the nodes of a head's directory: when each was last seen, and which rows have come.",
        epilog="exit status: 0 if each node has ended and all of its rows have come, 1 if not, 2 for a wrong directory",
    )
    parser.add_argument("directory", type=Path, help="the directory of `rerun-mp head`")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    chosen = parser.parse_args(arguments)
    if not chosen.directory.is_dir():
        parser.error(f"{chosen.directory} is no directory; give that of `rerun-mp head`")
    found = node_accounts(chosen.directory)
    if chosen.json:
        print(json.dumps([{**one._asdict(), "missing": one.missing} for one in found]))
    else:
        for one in found:
            seen = "never seen" if one.seen_secs is None else f"seen {time.strftime('%X', _local(one.seen_secs))}"
            stored = "?" if one.stored is None else f"{one.stored:,}"
            print(
                f"{printable(one.recording)}  {printable(one.node)}  {one.state}, {seen}  stored {stored}  "
                f"acknowledged {one.acknowledged:,} in {one.parts} parts"
            )
    return 0 if all(one.state == "ended" and not one.missing for one in found) else 1


def _local(seconds_ago: float) -> time.struct_time:
    return time.localtime(time.time() - seconds_ago)
