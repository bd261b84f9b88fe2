"""Print how this program was started, as far as it can see. Then a spawned child does the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import sys
import threading
from pathlib import Path


def look(role: str) -> None:
    """Print the surroundings of this process."""
    main = sys.modules["__main__"]
    seen = {
        "role": role,
        "arguments": [sys.argv, sys.orig_argv[1:2]] if role == "program" else None,
        "command line": Path("/proc/self/cmdline").read_text().split("\0") if role == "program" else None,
        "environment": sorted(os.environ.items()) if role == "program" else None,
        "environment in /proc": sorted(Path("/proc/self/environ").read_text().split("\0")),
        "paths": sys.path,
        "flags": [str(sys.flags), sorted(sys._xoptions), sys.warnoptions, sys.executable],
        "main": [main.__name__, main.__file__, str(main.__spec__), type(main.__loader__).__name__],
        "names": sorted(set(vars(main)) - {"__mp_main__"}) if role == "program" else None,
        "directory": str(Path.cwd()),
        "leads group": os.getpgid(0) == os.getpid(),
        "leads session": os.getsid(0) == os.getpid(),
        "descriptors": sorted(os.listdir("/proc/self/fd")) if role == "program" else None,
        "kinds": [stat.S_IFMT(os.fstat(descriptor).st_mode) for descriptor in range(3)],
        "streams": [[stream.mode, stream.line_buffering] for stream in (sys.stdout, sys.stderr)],
        "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "threads": [thread.name for thread in threading.enumerate()],
        "is main thread": threading.current_thread() is threading.main_thread(),
        "ours": [name for name in ("rerun", "rerun_bindings", "rerun_mp") if name in sys.modules],
        "parent": str(multiprocessing.parent_process()).split(" ")[0],
    }
    print(json.dumps(seen, indent=1), flush=True)


if __name__ == "__main__":
    look("program")
    child = multiprocessing.get_context("spawn").Process(target=look, args=("child",))
    child.start()
    child.join()
