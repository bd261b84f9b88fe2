"""Finds a Python that can run the collector.

A program's own interpreter is the natural choice, but `sys.executable` does not always name it: under uWSGI and in a
program that embeds Python it names that program or nothing, and in a frozen program it names the program itself, which
has its modules inside. So:

- RERUN_MP_PYTHON wins.
- A frozen program is started again with the argument `ENTER`; see `entry`.
- If this process is an interpreter that was started as `sys.executable`, it is that one.
- Otherwise the candidates beside the interpreter's library are tried: a short program must print the same version and
  binary interface as this process has.

Any thread may call. The answer is remembered for the process; forked children inherit it.
"""

from __future__ import annotations

import os
import sys
from functools import cache

from rerun_mp.errors import CollectorError

__all__ = ["ENTER", "VARIABLE", "find_python", "is_frozen", "is_plain_python", "python_command"]

VARIABLE = "RERUN_MP_PYTHON"
"""The environment variable that names the Python of collectors."""
ENTER = "--rerun-mp-run"
"""First argument of a frozen program that is to run a module of this package: the module's name follows."""
FACTS = "import sys, sysconfig; print(sys.version_info[:2], sysconfig.get_config_var('SOABI'))"
"""Prints what numpy, pyarrow and rerun must find as in this process: their compiled parts belong to one version."""
TRIAL_SECS = 10.0
"""Seconds that a candidate may take to print its facts."""


def is_frozen() -> bool:
    """Return whether this process is a frozen program: its executable holds the modules, and runs no other program."""
    return bool(getattr(sys, "frozen", False)) or "__compiled__" in globals()


def is_plain_python() -> bool:
    """Return whether this process is an interpreter that was started in the usual way, as `sys.executable`."""
    if is_frozen() or not sys.executable or not sys.orig_argv:
        return False
    # An embedding host may have set both to itself; the file of an interpreter has a name that starts with "python".
    try:
        if not os.path.samefile(sys.executable, "/proc/self/exe"):
            return False
    except PermissionError:
        pass  # this process has changed its user, and may not look at itself
    except OSError:
        return False
    return os.path.basename(sys.executable).startswith("python") and os.access(
        sys.executable, os.X_OK, effective_ids=True
    )


def python_command(module: str) -> list[str]:
    """Return the command that runs a module of this package as a program; its arguments follow.

    Raises
    ------
    CollectorError
        If no Python can be found.
    """
    if is_frozen() and not os.environ.get(VARIABLE):
        return [sys.executable, ENTER, module]
    # -P: modules in the script's directory or the working directory must not shadow those that the module imports.
    return [find_python(), "-P", "-m", module]


def find_python() -> str:
    """Return the path of the Python that runs collectors; of a frozen program, its own path.

    Raises
    ------
    CollectorError
        If there is none.
    """
    chosen = os.environ.get(VARIABLE)
    if not chosen and is_frozen():
        return sys.executable
    # sys.executable belongs to the key: a program may set it later than it imports this module.
    return _find_python(chosen, sys.executable or "")


@cache
def _find_python(chosen: str | None, executable: str) -> str:
    if chosen:
        problem = _why_unfit(chosen)
        if problem:
            raise CollectorError(f"{VARIABLE} names {chosen}, which cannot run the collector: {problem}.")
        return chosen
    if is_plain_python():
        return executable
    problems = []
    for path in _candidates(executable):
        problem = _why_unfit(path)
        if problem is None:
            return path
        problems.append(f"{path} ({problem})")
    tried = "; ".join(problems) or "no candidate was found"
    raise CollectorError(
        f"no Python can be found that runs the collector. sys.executable is {sys.executable!r}. Tried: {tried}. Set "
        f"{VARIABLE} to the python{sys.version_info[0]}.{sys.version_info[1]} that belongs to this program."
    )


def _candidates(executable: str) -> list[str]:
    """Return the files that may be this process's Python, the likeliest first."""
    import sysconfig

    names = (f"python{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}", "python3", "python")
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix)
    directories = [*(os.path.join(prefix, "bin") for prefix in prefixes), str(sysconfig.get_config_var("BINDIR") or "")]
    # sys.executable may be the program that embeds Python. Its own start would run that program again.
    own = [path for path in (executable, getattr(sys, "_base_executable", None)) if path and os.path.isfile(path)]
    paths = [
        *(path for path in own if _contains(path, b"Py_BytesMain")),
        *(os.path.join(directory, name) for directory in directories for name in names if directory),
        *(path for path in own if _contains(path, b"#!", at_start=True)),
        *(os.path.join(directory, names[0]) for directory in os.environ.get("PATH", os.defpath).split(os.pathsep)),
    ]
    return [path for path in dict.fromkeys(paths) if os.path.isfile(path)]


def _contains(path: str, part: bytes, *, at_start: bool = False) -> bool:
    """Return whether a file contains or starts with these bytes.

    An interpreter names `Py_BytesMain`, the function of Python's library that is all of it. An embedding program calls
    others.
    """
    import mmap

    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content[: len(part)] == part if at_start else content.find(part) >= 0
    except (OSError, ValueError):
        return False


def _why_unfit(path: str) -> str | None:
    """Run a candidate, and return why it cannot stand in for this process's Python. None: it can."""
    import subprocess
    import sysconfig

    expected = f"{tuple(sys.version_info[:2])} {sysconfig.get_config_var('SOABI')}"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    try:
        done = subprocess.run(
            [path, "-S", "-c", FACTS],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TRIAL_SECS,
            check=False,
        )
    except OSError as error:
        return error.strerror or str(error)
    except subprocess.TimeoutExpired:
        return f"it did not answer within {TRIAL_SECS:g} s"
    answer = done.stdout.decode(errors="replace").strip()
    if done.returncode != 0 or not answer:
        return f"it is no Python: it ended with {done.returncode}"
    return None if answer == expected else f"it is Python {answer}, and this process is {expected}"
