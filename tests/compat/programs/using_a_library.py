"""A user's program calls a library of rerun, in itself and in a child. Usage: using_a_library.py FILE METHOD.

A forked child, and one of a fork server, run the library's function alone; only this module imports rerun_mp.
"""

from __future__ import annotations

import multiprocessing
import sys

import rerun_mp as rr
from tests.compat.programs import library


def main() -> None:
    rr.init("rerun_mp_bridge")
    rr.save(sys.argv[1])
    library.use("parent")
    context = multiprocessing.get_context(sys.argv[2])
    target, arguments = (worker, ()) if sys.argv[2] == "spawn" else (library.use, ("child",))
    child = context.Process(target=target, args=arguments)  # type: ignore[attr-defined]
    child.start()
    child.join()
    assert child.exitcode == 0


def worker() -> None:
    library.use("child")


if __name__ == "__main__":
    main()
