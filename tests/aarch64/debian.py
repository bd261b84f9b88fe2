"""Debian's packages for arm64: apt downloads and checks them, and they are unpacked without being installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["KERNELS", "PYTHON", "SUITE", "unpack_kernel", "unpack_user_land"]

SUITE = "trixie"
"""A release of Debian that has kernels for pages of 4 KiB and of 16 KiB."""
PYTHON = "3.13"
"""The version of Python in that release."""
KERNELS = {"4k": "linux-image-arm64", "16k": "linux-image-arm64-16k"}
"""Size of a page -> the package of the newest kernel."""
USER_LAND = (
    "coreutils",
    "dash",
    "grep",
    "iproute2",
    "libatomic1",
    "libstdc++6",
    "mount",
    "procps",
    "python3",
    "sed",
    "util-linux",
)
MERGED = ("bin", "lib", "sbin")
"""Directories of the root that are links into usr/."""
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def unpack_user_land(cache: Path, root: Path) -> None:
    """Unpack Python, a shell and the usual commands into `root`."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(Path("usr", name))
    for package in _download(cache, "user-land", *USER_LAND):
        subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    for name in ("doc", "locale", "man"):
        shutil.rmtree(root / "usr/share" / name)
    # The packages' installation scripts, which did not run, would write these.
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    for name in ("dev", "proc", "root", "run", "sys", "tmp"):
        (root / name).mkdir(exist_ok=True)


def unpack_kernel(cache: Path, pages: str) -> Path:
    """Return the image of the kernel that has `pages`."""
    image = cache / f"linux-{pages}"
    if not image.exists():
        packages = _download(cache, pages, KERNELS[pages])
        # The other packages are what installing a kernel needs. The package of KERNELS itself has no files.
        [package] = [path for path in packages if path.name.startswith("linux-image-6")]
        unpacked = cache / f"kernel-{pages}"
        subprocess.run(["dpkg-deb", "--extract", package, unpacked], check=True)
        [vmlinuz] = unpacked.glob("boot/vmlinuz-*")
        vmlinuz.rename(image)
        shutil.rmtree(unpacked)
    return image


def _download(cache: Path, purpose: str, *names: str) -> list[Path]:
    """Download packages and all that they depend on, with an apt that knows nothing of this machine's packages."""
    directory = cache / "apt"
    for name in ("etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", f"{purpose}/partial"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "status").touch()
    (directory / "etc/sources.list").write_text(f"deb [signed-by={KEYS}] {_mirror()} {SUITE} main\n")
    configuration = directory / "apt.conf"
    configuration.write_text(f"""
        APT::Architecture "arm64";
        APT::Architectures "arm64";
        APT::Sandbox::User "";
        Acquire::Languages "none";
        Dir "{directory}";
        Dir::Etc "{directory}/etc";
        Dir::State "{directory}/state";
        Dir::State::status "{directory}/status";
        Dir::Cache "{directory}";
        Dir::Cache::archives "{directory}/{purpose}";
        """)
    apt = ["apt-get", "--quiet=2", "--yes", "--no-install-recommends", "--download-only"]
    for arguments in (["update"], ["install", *names]):
        # APT_CONFIG is read before this machine's configuration, whose directories it replaces.
        subprocess.run([*apt, *arguments], env=os.environ | {"APT_CONFIG": str(configuration)}, check=True)
    return sorted((directory / purpose).glob("*.deb"))


def _mirror() -> str:
    """Return the address of the archive that this machine's apt takes Debian's packages from."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)"],
        check=True,
        capture_output=True,
        text=True,
    )
    for target in targets.stdout.splitlines():
        origin, release, address = target.split(maxsplit=2)
        # bookworm-updates and bookworm-security are archives of another content.
        if origin == "Debian" and "-" not in release:
            return address
    raise SystemExit("this machine's apt knows no archive of Debian: run apt-get update, on Debian")
