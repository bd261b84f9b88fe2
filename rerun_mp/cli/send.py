"""`rerun-mp send`: bring recordings to a viewer or server, and say which rows it has acknowledged.

The chunks keep their ids, so a viewer that has some of them already shows none twice. The standard library and the base
package suffice: `python -m rerun_mp send` works where typer and rich are not installed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rerun_mp.collector.acknowledged_calls import address_of
from rerun_mp.encoding.log_messages import WRITE_MESSAGES, request, rows_in_chunk
from rerun_mp.encoding.rrd_files import MessageKind, messages_in_file
from rerun_mp.errors import RerunMpError
from rerun_mp.printable import printable
from rerun_mp.viewers.grpc_calls import GrpcConnection

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "send"]

CALL_BYTES = 4 << 20
"""Bytes after which the server must have answered."""
CONNECT_SECS = 5.0
"""Maximum seconds to connect."""
ANSWER_SECS = 60.0
"""Maximum seconds until the server answers."""
RESERVED = ("/__properties", "__properties", "/__rerun_mp", "__rerun_mp")
"""Beginnings of the entity paths of rows that no process logged."""


def main(arguments: Sequence[str]) -> int:
    """Parse the arguments after `send`, send, and return the exit status."""
    parser = argparse.ArgumentParser(
        "python -m rerun_mp send",
        description="Send recordings to a viewer or server. Rows that it has already are not shown twice.",
        epilog="exit status: 0 if the server has acknowledged every row, 1 if not, 2 for a wrong call",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an .rrd file")
    parser.add_argument("url", help="such as rerun+http://127.0.0.1:9876/proxy")
    chosen = parser.parse_args(arguments)
    return send(chosen.files, chosen.url)


def send(files: Sequence[Path], url: str) -> int:
    """Send `files` to the server at `url`, say what it has acknowledged, and return the exit status."""
    try:
        host, port, is_secure = address_of(url)
        connection = GrpcConnection(host, port, is_secure=is_secure, timeout=CONNECT_SECS)
        for path in files:
            rows = _send(connection, path)
            print(printable(f"{url} has acknowledged {rows:,} rows of {path}"))
        connection.close()
    except (RerunMpError, OSError, ValueError) as error:
        sys.stderr.write(f"rerun-mp: not everything was sent: {printable(str(error))}\n")
        return 1
    return 0


def _send(connection: GrpcConnection, path: Path) -> int:
    """Send one file, and return the number of its rows that processes logged."""
    rows = num_bytes = 0
    connection.begin(WRITE_MESSAGES)
    for kind, payload in messages_in_file(path):
        if num_bytes >= CALL_BYTES:
            connection.finish(ANSWER_SECS)
            connection.begin(WRITE_MESSAGES)
            num_bytes = 0
        connection.send(request(MessageKind(kind), payload))
        num_bytes += len(payload)
        if kind == MessageKind.CHUNK:
            entity_path, number = rows_in_chunk(payload)
            rows += 0 if entity_path.startswith(RESERVED) else number
    connection.finish(ANSWER_SECS)
    return rows
