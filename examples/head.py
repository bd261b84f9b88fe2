"""A head, and a program that sends to it: `python examples/head.py --dir runs`.

On a cluster the head runs on one host and the program on each node; here both run on this machine. The rows come to the
head twice: live, as a viewer would show them, and as parts, which the head keeps.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import socket
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Start a head, run this file as the program, and list the head's nodes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("runs"), help="the head's directory")
    parser.add_argument("--program", action="store_true", help="be the program, and not the head")
    chosen = parser.parse_args()
    if chosen.program:
        program()
        return
    command = [sys.executable, "-m", "rerun_mp"]
    options = [f"--dir={chosen.dir}", f"--port={free_port()}"]
    head = subprocess.Popen([*command, "head", *options], stdout=subprocess.PIPE, text=True)
    try:
        assert head.stdout is not None
        variables = dict(re.findall(r"(\w+)=(\S+)", head.stdout.readline()))
        subprocess.run([sys.executable, __file__, "--program"], env={**os.environ, **variables}, check=True)
    finally:
        head.terminate()
        head.wait()
    subprocess.run([*command, "nodes", str(chosen.dir)], check=True)


def program() -> None:
    """Log from a pool, with no line about the head: two environment variables name it."""
    import rerun_mp as rr

    rr.init("rerun_mp_head")
    with multiprocessing.Pool(4) as pool:
        pool.map(work, range(8))


def work(task: int) -> None:
    """Log 100 numbers."""
    import rerun_mp as rr

    for step in range(100):
        rr.set_time("step", sequence=step)
        rr.log(f"tasks/{task}", rr.Scalars(step * task))


def free_port() -> int:
    """Return a port that is free, and so is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


if __name__ == "__main__":
    main()
