"""Logs from a parent, a child and a detached child under a fixed authkey: sharing_an_authkey.py GATE FILE NAME METHOD.

Waits at the gate for as long as the test holds it.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import sys

multiprocessing.current_process().authkey = b"the same in both programs"


def work(name: str) -> None:
    import rerun_mp as rr

    rr.log(name, rr.Scalars(1.0))


def main(gate: str, path: str, name: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    # A fork server that starts before `init` has no variable that names the session.
    before = context.Process(target=print, args=("",))  # type: ignore[attr-defined]
    before.start()
    before.join()
    import rerun_mp as rr

    rr.init("rerun_mp_authkey")
    rr.save(path)
    rr.log(f"{name}/parent", rr.Scalars(1.0))
    child = context.Process(target=work, args=(f"{name}/child",))  # type: ignore[attr-defined]
    child.start()
    child.join()
    if not os.fork():
        # The parent's look at its children does not see a child of another process session.
        os.setsid()
        rr.log(f"{name}/detached", rr.Scalars(1.0))
        os._exit(0)
    os.wait()
    print("has logged", flush=True)
    with open(gate) as file:
        fcntl.flock(file, fcntl.LOCK_SH)


if __name__ == "__main__":
    main(*sys.argv[1:])
