"""An interpreter with common imports, which forks a process for each program.

A program starts in 0.1 s of processor time instead of 0.8 s. The test sees the same as with an interpreter of its own:

- The program runs in a new `__main__` by the C function that `python program.py` calls. Tracebacks, exit codes and a
  death by Ctrl-C are therefore the interpreter's.
- Arguments, environment, working directory, standard streams and process group are the program's; `/proc` shows
  its command line and its environment. No other descriptor is open.
- rerun, rerun_mp and multiprocessing are not imported. rerun's modules have been executed once; the program gets them
  when it imports rerun (`preloaded_rerun`). rerun_mp's modules are read from their files, but not executed.

Differences: the modules of `PRELOADED` are imported already, and they are not destroyed at the end (`lasting_objects`);
rerun's threads do not run, and the parent is this process. A test of start-up, of imports, or of rerun's own servers
asks for an interpreter of its own (`fresh`).

As a program: `preloaded.py DESCRIPTOR` serves requests on a socket until the other end closes it, or ends at once where
the kernel does not allow this. The module `preloading` is that other end.
"""

from __future__ import annotations

import array
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tests.harness import preloaded_rerun
from tests.harness.lasting_objects import LastingObjects
from tests.harness.preloaded_collector import fork_collectors
from tests.harness.process_titles import may_show, show

MAX_MESSAGE_BYTES = 1 << 18

PRELOADED = (
    *(
        "numpy",
        "numpy.random",
        "numpy.typing",
        "pyarrow",
        "colorsys",
        "attr",
        "attrs",
        "PIL.Image",
        "psutil",
        "typing_extensions",
    ),
    *("typer", "typer.rich_utils", "rich.live", "rich.table"),
    *("argparse", "asyncio", "dataclasses", "decimal", "logging", "pathlib", "secrets", "subprocess", "tempfile"),
)
"""Modules that behave the same when they are imported before the program."""

NOT_PRELOADED = ("rerun", "rerun_bindings", "rerun_mp", "multiprocessing")
"""Packages whose presence changes the behaviour of rerun_mp."""


def serve(connection: socket.socket) -> list[str] | None:
    """Serve requests until the other end closes the connection.

    Returns
    -------
    The command line, in the process of a program; None in this process, at the end.
    """
    children: set[int] = set()
    while True:
        message, descriptors = _receive(connection)
        if not message:
            return None
        request = json.loads(message)
        if request["do"] == "wait":
            status = os.waitpid(request["pid"], 0)[1]
            children.discard(request["pid"])
            connection.send(json.dumps(status).encode())
            continue
        pid = os.fork()
        if pid == 0:
            connection.close()
            _become(request, *descriptors)
            arguments: list[str] = request["arguments"]
            return arguments
        for descriptor in descriptors:
            os.close(descriptor)
        children.add(pid)
        connection.send(json.dumps(pid).encode())


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    space = socket.CMSG_LEN(2 * descriptors.itemsize)
    message, ancillary, _, _ = connection.recvmsg(MAX_MESSAGE_BYTES, space)
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    return message, list(descriptors)


def _become(request: dict[str, Any], stdout: int, stderr: int) -> None:
    """Give this process the surroundings of the program's own process."""
    if request["is_leader"]:
        os.setsid()
    else:
        os.setpgid(0, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request["directory"])
    os.umask(request["umask"])
    environment: dict[str, str] = request["environment"]
    os.environ.clear()
    os.environ.update(environment)
    path, *_ = arguments = request["arguments"]
    sys.argv = list(arguments)
    sys.orig_argv = [sys.executable, "-X", "faulthandler", *arguments]
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    show(sys.orig_argv, [f"{name}={value}" for name, value in environment.items()])
    sys.modules["numpy.random"].seed()
    if address := request["collectors"]:
        fork_collectors(address)
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=sys.modules["builtins"], __annotations__={})
    sys.modules["__main__"] = main


def run(path: str) -> int:
    """Run a program as the interpreter runs `python path`, and return the exit code."""
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(libc.fopen(os.fsencode(path), b"rbe"))
    if not file:
        print(f"{sys.executable}: can't open file {path!r}", file=sys.stderr)
        return 2
    failed = ctypes.pythonapi.PyRun_SimpleFileExFlags(file, os.fsencode(path), 1, None)
    # After Ctrl-C the interpreter kills itself when its own main module returns.
    interrupted = issubclass(getattr(sys, "last_type", None) or Exception, KeyboardInterrupt)
    return 1 if failed and not interrupted else 0


def use_typer() -> None:
    """Run a command, because typer imports a part of what it needs only then."""

    def command(number: int = 0) -> None:
        del number

    app = sys.modules["typer"].Typer()
    app.command()(command)
    importlib.import_module("typer.testing").CliRunner().invoke(app, ["--number", "1"])


def keep_code(package: Path) -> None:
    """Let the programs' imports of a package's modules find the code in memory, which takes a third of their time."""
    read = SourceFileLoader.get_code
    kept = {str(path): read(SourceFileLoader("", str(path)), "") for path in package.rglob("*.py")}

    def get_code(loader: SourceFileLoader, fullname: str) -> CodeType | None:
        return kept.get(loader.path) or read(loader, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[assignment]


def preload() -> None:
    """Import the modules of `PRELOADED`, execute rerun's, and read rerun_mp's."""
    lasting = LastingObjects()
    for name in PRELOADED:
        importlib.import_module(name)
    use_typer()
    preloaded_rerun.execute()
    keep_code(Path(__file__).resolve().parents[2] / "rerun_mp")
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]  # a program may have a package of that name
    loaded = [name for name in NOT_PRELOADED if name in sys.modules]
    assert not loaded, f"{', '.join(loaded)} must not be imported before the program does"
    gc.collect()
    lasting.keep()
    gc.freeze()


def main() -> int:
    """Serve; in a program's process, run the program and return its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    connection = socket.socket(fileno=int(sys.argv[1]))
    if not may_show():
        return 0
    preload()
    connection.send(json.dumps(sys.path[1:]).encode())
    arguments = serve(connection)
    return 0 if arguments is None else run(arguments[0])


if __name__ == "__main__":
    # `sys.exit(0)` would hide from the interpreter that Ctrl-C has ended the program.
    if (code := main()) != 0:
        sys.exit(code)
