"""`rerun-mp head`: the servers of a job's head.

There are three: Rerun's own for the live view, the receiver of parts on the next port, and, if asked for, Rerun's
catalog over the directory. Only the directory has all rows: the live view may have forgotten some, and the catalog
knows only the parts that were registered since its start. All listen on the loopback interface unless told otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rerun_mp.cli import nodes
from rerun_mp.cli.catalog import DATASET, Catalog
from rerun_mp.cli.child_server import start_child_server
from rerun_mp.errors import RerunMpError
from rerun_mp.session.waiting import wait_until
from rerun_mp.shipping.receiver import Receiver
from rerun_mp.viewers import spawn as viewer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

CHECK_SECS = 0.5
"""Seconds between two checks that the live view runs."""
MAX_PAUSE_SECS = 30.0
"""Maximum seconds until a live view that has ended is started again. Each pause is twice as long as the one before."""
START_SECS = 10.0
"""Maximum seconds until the live view listens, before the head says where it is."""
TOKEN = ".token"


def main(arguments: Sequence[str]) -> int:
    """Parse the arguments after `head`, serve until Ctrl-C or SIGTERM, and return the exit status."""
    parser = argparse.ArgumentParser(
        "python -m rerun_mp head",
        description="Receive the live rows and the parts of every node of a job. Ctrl-C ends it.",
        epilog="exit status: 0, or 1 if a server cannot be started",
    )
    parser.add_argument("--dir", required=True, type=Path, help="directory for the parts")
    parser.add_argument("--bind", default=viewer.LOOPBACK, help="address to listen on; by default loopback")
    parser.add_argument("--port", type=int, default=9876, help="port of the live view; parts come on the next one")
    parser.add_argument("--web-viewer", action="store_true", help="serve the web viewer, too, on port 9090")
    parser.add_argument("--memory-limit", default="1GiB", help="memory of the live view; it forgets the oldest rows")
    parser.add_argument("--catalog", type=int, metavar="PORT", help="start Rerun's catalog server over the parts")
    parser.add_argument("--list", action="store_true", help="print the nodes and exit")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        return nodes.main([str(chosen.dir)])
    try:
        with contextlib.ExitStack() as stack:
            catalog = None
            if chosen.catalog is not None:
                chosen.dir.mkdir(parents=True, exist_ok=True)
                catalog = stack.enter_context(contextlib.closing(Catalog(chosen.dir, chosen.catalog)))
            live = ["--serve-web" if chosen.web_viewer else "--serve-grpc", f"--bind={chosen.bind}"]
            live += [f"--port={chosen.port}", f"--server-memory-limit={chosen.memory_limit}"]
            return _serve(chosen.dir, chosen.bind, chosen.port, live, catalog)
    except (RerunMpError, OSError) as error:
        sys.stderr.write(f"rerun-mp: the head cannot be started: {error}\n")
        return 1


def _serve(directory: Path, bind: str, port: int, options: Sequence[str], catalog: Catalog | None) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    _check_port(bind, port)
    token = os.environ.get("RERUN_MP_HEAD_TOKEN") or _kept_token(directory)
    receiver = Receiver(directory, token, bind, port + 1)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    thread = threading.Thread(target=receiver.serve_forever, name="rerun_mp-receiver", daemon=True)
    thread.start()
    command = [viewer.program(), *options]
    live = start_child_server(command)
    shown = viewer.LOOPBACK if bind in ("0.0.0.0", "::") else bind
    pause_secs, restart = CHECK_SECS, 0.0
    try:
        # A viewer that connects earlier gives up.
        wait_until(lambda: live.poll() is not None or stopped.is_set() or viewer.listens(port, shown), START_SECS)
        _print_line(f"export RERUN_MP_HEAD=rerun+http://{shown}:{port}/proxy RERUN_MP_HEAD_TOKEN={token}")
        _print_line(f"parts come to {directory.resolve()}; live view: rerun rerun+http://{shown}:{port}/proxy")
        if catalog is not None:
            catalog.follow()
            _print_line(f"catalog: {catalog.url}, dataset {DATASET!r}")
        while not stopped.wait(CHECK_SECS):
            if live.poll() is not None and time.monotonic() >= restart:
                sys.stderr.write(f"rerun-mp: the live view has ended with {live.returncode}; it is started again\n")
                live = start_child_server(command)
                pause_secs = min(2 * pause_secs, MAX_PAUSE_SECS)
                restart = time.monotonic() + pause_secs
            if catalog is not None:
                catalog.end_if_frozen()
    finally:
        viewer.end(live)
        receiver.shutdown()
        receiver.server_close()
    return 0


def _print_line(line: str) -> None:
    """Print a line. If its reader has gone, print nothing more: nodes may know the address from elsewhere."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open until the process ends)


def _check_port(bind: str, port: int) -> None:
    """Check that the live view can listen. If another program has the port, the live view ends without a message.

    Raises
    ------
    OSError
        If it cannot.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            raise OSError(
                error.errno, f"{error.strerror}: {bind}:{port}, for the live view; choose another --port"
            ) from error


def _kept_token(directory: Path) -> str:
    """Return the secret of this directory's job, a new one if there is none."""
    path = directory / TOKEN
    new = directory / f"{TOKEN}.{os.getpid()}"
    new.touch(0o600)
    new.write_text(secrets.token_hex(16), encoding="ascii")
    with contextlib.suppress(FileExistsError):
        os.link(new, path)
    new.unlink()
    return path.read_text(encoding="ascii").strip()
