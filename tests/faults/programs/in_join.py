"""A child logs while its parent sits in waitpid: in_join.py PATH STOP WHAT. Prints the child's number of rows."""

from __future__ import annotations

import os
import sys

import rerun_mp as rr


def child(stop: str, *, logs: bool) -> int:
    """Log until the file `stop` exists, or log one row and wait for it. Returns the number of rows."""
    rr.log("child", rr.Scalars(0.0))
    rr.flush()
    print("flushed", flush=True)
    rows = 1
    if not logs:
        rr.log("child", rr.Scalars(0.0))
        rows += 1
    while not os.path.exists(stop):
        if logs:
            rr.log("child", rr.Scalars(0.0))
            rows += 1
    return rows


def main() -> None:
    """Fork the child, and wait for it as `join` does: in C, where no Python code runs."""
    rr.init("rerun_mp_join")
    rr.save(sys.argv[1])
    rr.log("parent", rr.Scalars(0.0))
    if (pid := os.fork()) == 0:
        print("rows", child(sys.argv[2], logs=sys.argv[3] == "logs on"), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
