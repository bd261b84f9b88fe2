"""`rerun-mp doctor`: check the machine and the installation. Each check says what it found and what to do."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal, NamedTuple

from rerun_mp.compat import versions
from rerun_mp.errors import CollectorError, InvalidArgumentError, RerunMpError
from rerun_mp.hooks.interpreters import VARIABLE, find_python
from rerun_mp.session import collector_check, directories, leftovers
from rerun_mp.session.collector_start import collector_paths
from rerun_mp.settings import Settings
from rerun_mp.shm import segment
from rerun_mp.viewers import spawn as viewer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Check", "examine"]

NEEDED_FILES = 64
"""File descriptors for rerun_mp: two while a process claims slots; in the collector, three for each recording."""
MIN_KERNEL = (4, 14)
"""The first Linux with MADV_WIPEONFORK. It has the locks of open file descriptions, too."""
POPULATE_KERNEL = (5, 14)
"""The first Linux with MADV_POPULATE_WRITE."""

VULKAN_SECS = 15.0
"""Maximum seconds in which drivers name their adapters."""
NO_VULKAN = "viewers need an adapter, with and without a window (Debian: apt install mesa-vulkan-drivers)"


class Check(NamedTuple):
    """The result of one check."""

    name: str
    verdict: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""
    """What to do; empty if all is well."""
    is_setting: bool = False
    """Whether it is the value of a setting, which is neither well nor wrong."""


def examine() -> Iterator[Check]:
    """Yield checks of the machine, of the installation, and of sessions that killed programs have left."""
    yield _kernel()
    yield _python()
    yield _collectors_python()
    yield _rerun()
    yield _shared_memory()
    yield from _places()
    yield from _limits()
    yield _vulkan()
    yield _display()
    yield _viewer_program()
    yield _left_sessions()
    yield from _settings()


def _kernel() -> Check:
    name, release = platform.system(), platform.release()
    found = f"{name} {release}"
    if name != "Linux":
        return Check("kernel", "problem", found, "rerun_mp runs on Linux only")
    numbers = tuple(int(part) for part in release.split("-", maxsplit=1)[0].split(".")[:2] if part.isdecimal())
    if numbers < MIN_KERNEL:
        return Check("kernel", "problem", found, "it has no MADV_WIPEONFORK; Linux 4.14 is needed")
    if platform.machine() not in ("x86_64", "AMD64"):
        advice = "rerun_mp is tested on x86-64 only"
        if platform.machine() == "aarch64":
            advice = (
                "rerun_mp is tested on x86-64; on aarch64 it ran emulated only, and its order of stores is modelled"
            )
        return Check("kernel", "warning", f"{found} on {platform.machine()}", advice)
    if numbers < POPULATE_KERNEL:
        return Check("kernel", "warning", found, "the first large rows are slow: Linux before 5.14 maps no slots ahead")
    return Check("kernel", "ok", found)


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    if platform.python_implementation() != "CPython":
        return Check("Python", "warning", found, "rerun_mp is tested with CPython only")
    return Check("Python", "ok", found)


def _collectors_python() -> Check:
    """Say which Python runs collectors, and whether its packages are where an installer puts them."""
    try:
        found = find_python()
    except CollectorError as error:
        return Check("collector", "problem", str(error), f"set {VARIABLE} to a Python of this version")
    missing = collector_check.missing_packages(collector_paths())
    if missing:
        advice = f"install {', '.join(missing)} with pip; until then `init` waits for its first collector, to be sure"
        return Check("collector", "warning", f"{found}; not found as installed packages: {', '.join(missing)}", advice)
    return Check("collector", "ok", f"{found} ({VARIABLE} changes it)")


def _rerun() -> Check:
    try:
        found = version("rerun-sdk")
    except PackageNotFoundError:
        return Check("rerun-sdk", "problem", "not installed", f"pip install '{versions.REQUIREMENT}'")
    if not versions.is_supported(found):
        return Check("rerun-sdk", "problem", found, f"too old: pip install '{versions.REQUIREMENT}'")
    if not versions.is_tested(found):
        return Check(
            "rerun-sdk", "warning", found, f"newer than this rerun_mp is tested with: rerun-sdk<{versions.NEXT}"
        )
    return Check("rerun-sdk", "ok", found)


def _settings() -> Iterator[Check]:
    """Yield the value and the source of each setting. An argument of `init` would override them."""
    try:
        settings = Settings()
    except InvalidArgumentError as error:
        yield Check("settings", "problem", str(error), "correct the variable or unset it", is_setting=True)
        return
    for field in fields(settings):
        variable = f"RERUN_MP_{field.name.upper()}"
        value = getattr(settings, field.name)
        source = f"from {variable}" if variable in os.environ else f"default; {variable} changes it"
        yield Check(field.name, "ok", f"{getattr(value, 'name', value)} ({source})", is_setting=True)


def _shared_memory() -> Check:
    try:
        room = os.statvfs(segment.DIRECTORY)
    except OSError as error:
        return Check("shared memory", "problem", f"{segment.DIRECTORY}: {error.strerror}", "mount a tmpfs there")
    total, free = (blocks * room.f_frsize for blocks in (room.f_blocks, room.f_bavail))
    try:
        need = Settings().ring_bytes
    except InvalidArgumentError:
        need = 0
    found = f"{segment.DIRECTORY} has {free / 1e6:,.0f} of {total / 1e6:,.0f} MB free; a ring takes {need / 1e6:,.0f}"
    if free // 2 < need:
        advice = (
            f"rings have {free / 2e6:,.0f} MB here, half of the free space. In a container: docker run "
            f"--shm-size={max(1, 2 * need >> 20)}m, or --ipc=host; or set a smaller RERUN_MP_RING_BYTES"
        )
        return Check("shared memory", "warning" if free > 8 << 20 else "problem", found, advice)
    return Check("shared memory", "ok", found)


def _places() -> Iterator[Check]:
    for name, place in (("runtime directory", directories.runtime_base()), ("spool", directories.spool_base())):
        parent = place
        while not os.path.exists(parent):
            parent = os.path.dirname(parent)
        free = shutil.disk_usage(parent).free
        found = f"{place}, {free / 1e6:,.0f} MB free"
        status = os.stat(parent)
        if os.path.exists(place) and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
            yield Check(name, "problem", found, f"it must be yours alone: chmod 700 {place}, or remove it")
        elif not os.access(parent, os.W_OK):
            yield Check(name, "problem", found, f"{parent} cannot be written by this user")
        elif free < 64 << 20:
            yield Check(name, "warning", found, "make room: rows that are in no file yet wait there")
        else:
            yield Check(name, "ok", found)


def _limits() -> Iterator[Check]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_low = files != resource.RLIM_INFINITY and files < 2 * NEEDED_FILES
    yield Check("open files", "warning" if is_low else "ok", str(files), "raise it: ulimit -n 1024" if is_low else "")
    size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if size != resource.RLIM_INFINITY:
        yield Check("file size", "warning", f"{size:,} bytes", "it limits ring and recordings: ulimit -f unlimited")


def _vulkan() -> Check:
    """Ask the drivers for their adapters, in a process of its own."""
    command = [sys.executable, "-m", "rerun_mp.cli.vulkan"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=VULKAN_SECS, check=False)
    except subprocess.TimeoutExpired:
        return Check("Vulkan", "warning", f"its drivers do not answer within {VULKAN_SECS:g} s", NO_VULKAN)
    found = ", ".join(done.stdout.split("\n")).strip(", ")
    if done.returncode == 0:
        return Check("Vulkan", "ok", found)
    return Check("Vulkan", "warning", found or f"a driver ended with {done.returncode}", NO_VULKAN)


def _display() -> Check:
    for variable in ("WAYLAND_DISPLAY", "DISPLAY"):
        if os.environ.get(variable):
            return Check("display", "ok", f"{variable}={os.environ[variable]}")
    advice = "no window can open: use rr.spawn(headless=True), rr.serve_grpc(), or rr.save() and a viewer elsewhere"
    return Check("display", "warning", "none", advice)


def _viewer_program() -> Check:
    try:
        return Check("viewer", "ok", viewer.program())
    except RerunMpError as error:
        return Check("viewer", "problem", str(error), f"pip install --force-reinstall '{versions.REQUIREMENT}'")


def _left_sessions() -> Check:
    try:
        left, problems = leftovers.find_leftovers()
    except OSError as error:
        return Check("leftover sessions", "problem", str(error), f"look at {segment.DIRECTORY}")
    if problems:
        return Check("leftover sessions", "problem", "; ".join(problems), "remove these files if no program uses them")
    if left:
        names = ", ".join(one.name for one in left)
        return Check("leftover sessions", "warning", names, "rerun-mp recover brings their rows into files")
    return Check("leftover sessions", "ok", "none")
