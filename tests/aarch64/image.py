"""The files of the emulated machine, packed for its kernel, which keeps them in memory.

The first archive has Debian's packages and the project's requirements, and is built once. The second one has the
source tree, and is built for each run. The kernel unpacks one after the other.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.aarch64 import debian
from tests.harness.programs import ROOT

__all__ = ["CACHE", "build"]

CACHE = ROOT / ".aarch64"
CONSTRAINTS = ROOT / "constraints.txt"
REQUIREMENTS = ("numpy", "posix_ipc", "psutil", "pyarrow", "rerun-sdk", "typer", "rich")
TEST_REQUIREMENTS = ("greenlet", "hypothesis", "pytest", "pytest-timeout", "pytest-xdist")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
NEEDLESS = ("pyarrow/tests", "pyarrow/include", "numpy/*/tests")
"""Folders of the wheels that no test reads. The emulated kernel unpacks a smaller archive faster."""
PACKAGES = Path("usr/local/lib", f"python{debian.PYTHON}", "dist-packages")
INIT = """#!/bin/sh
cd /rerun_mp && PATH=/usr/sbin:/usr/bin exec /usr/bin/python3 -m tests.aarch64.guest
"""


def build(pages: str, instructions: dict[str, object]) -> tuple[Path, Path]:
    """Return a kernel, and its file system with the source tree and `instructions`, which the first process reads."""
    CACHE.mkdir(exist_ok=True)
    kernel = debian.unpack_kernel(CACHE, pages)
    both = CACHE / "initrd"
    with both.open("wb") as archive:
        for part in (_base(), _source_tree(instructions)):
            with part.open("rb") as source:
                shutil.copyfileobj(source, archive, 1 << 24)
    return kernel, both


def _base() -> Path:
    """Return the archive of the packages. It is built again if what it was built from has changed."""
    archive, stamp = CACHE / "base.cpio", CACHE / "base.stamp"
    made_of = "\n".join([debian.SUITE, *debian.USER_LAND, *REQUIREMENTS, *TEST_REQUIREMENTS, CONSTRAINTS.read_text()])
    wanted = hashlib.sha256(made_of.encode()).hexdigest()
    if not archive.exists() or not stamp.exists() or stamp.read_text() != wanted:
        stamp.unlink(missing_ok=True)
        root = _empty(CACHE / "root")
        debian.unpack_user_land(CACHE, root)
        _install_wheels(root / PACKAGES)
        _compile(root / "usr")
        init = root / "init"
        init.write_text(INIT)
        init.chmod(0o755)
        _pack(root, archive)
        stamp.write_text(wanted)
    return archive


def _install_wheels(target: Path) -> None:
    """Install the requirements for aarch64. pip asks no interpreter of that architecture."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(target)]
    foreign = [f"--python-version={debian.PYTHON}", "--only-binary=:all:", *(f"--platform={one}" for one in PLATFORMS)]
    names = [*REQUIREMENTS, *TEST_REQUIREMENTS]
    subprocess.run([*pip, *foreign, "--constraint", CONSTRAINTS, *names], check=True)
    for needless in NEEDLESS:
        for path in target.glob(needless):
            shutil.rmtree(path)


def _compile(directory: Path) -> None:
    """Compile the modules, if this machine has the same version of Python: the emulated one takes minutes for that."""
    command = [f"python{debian.PYTHON}", "-m", "compileall", "-q", str(directory)]
    try:
        # Some of Python's own tests do not compile, and a shim may only print an error.
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        pass


def _source_tree(instructions: dict[str, object]) -> Path:
    """Return the archive of the files that git knows or would add, as they are now."""
    root = _empty(CACHE / "tree")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():  # not one that was removed and is not committed
            (root / "rerun_mp" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / "rerun_mp" / name)
    (root / "instructions.json").write_text(json.dumps(instructions))
    return _pack(root, CACHE / "tree.cpio")


def _pack(root: Path, archive: Path) -> Path:
    """Pack a directory as the kernel wants it. The files belong to root, so building needs no privileges."""
    names = b"\0".join(str(path.relative_to(root)).encode() for path in sorted(root.rglob("*")))
    cpio = ["cpio", "--create", "--null", "--quiet", "--format=newc", "--owner=+0:+0", f"--file={archive}"]
    subprocess.run(cpio, cwd=root, input=names, check=True)
    return archive


def _empty(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
