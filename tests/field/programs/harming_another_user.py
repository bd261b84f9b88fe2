"""Tries what one user can do to the session of another, and prints what each attempt came to, as JSON.

Usage: harming_another_user.py HOME PID, of the other user and of a member of the session.
"""

from __future__ import annotations

import faulthandler
import glob
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

outcomes: dict[str, str] = {}


def attempt(name: str, act: Callable[[], object]) -> None:
    """Note what an act returns, or the error that it raises."""
    try:
        outcomes[name] = repr(act())
    except OSError as error:
        outcomes[name] = type(error).__name__


def read(path: str) -> bytes:
    """Return a file's content."""
    with open(path, "rb") as file:
        return file.read(1)


def main() -> None:
    """Try everything."""
    faulthandler.dump_traceback_later(60, exit=True)  # a call that waits for ever shows where
    home, pid = sys.argv[1], int(sys.argv[2])
    segments = [path for path in glob.glob("/dev/shm/*") if os.stat(path).st_uid != os.getuid()]
    for path in segments:
        for way in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            attempt(f"open {way} {path}", partial(os.open, path, way))
        attempt(f"remove {path}", partial(os.unlink, path))
        attempt(f"rename {path}", partial(os.rename, path, "/dev/shm/taken"))
        attempt(f"truncate {path}", partial(os.truncate, path, 0))
    attempt("home", partial(os.listdir, home))
    attempt("secret", partial(read, f"{home}/.local/share/rerun_mp/session-secret"))
    attempt("signal", partial(os.kill, pid, signal.SIGKILL))
    attempt("memory", partial(read, f"/proc/{pid}/mem"))
    attempt("environment", partial(read, f"/proc/{pid}/environ"))
    os.environ["XDG_DATA_HOME"] = f"{home}/.local/share"
    os.environ["TMPDIR"] = os.environ["HOME"]  # the secret that is made instead shall not stay in /tmp
    import rerun_mp as rr

    try:
        rr.init("rerun_mp_two_users", session="robot-7")
        rr.log("intruder", rr.Scalars(1.0))  # into a session of its own
    except rr.RerunMpError:
        pass
    print(json.dumps({"segments": len(segments), "outcomes": outcomes}), flush=True)


if __name__ == "__main__":
    main()
