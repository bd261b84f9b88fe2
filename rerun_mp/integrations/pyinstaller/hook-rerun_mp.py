"""PyInstaller runs this for a program that imports rerun_mp. It names the modules that a collector loads by name."""

from __future__ import annotations

from PyInstaller.utils.hooks import collect_submodules, copy_metadata


def _is_needed(name: str) -> bool:
    return not name.startswith(("rerun_mp.cli", "rerun_mp.integrations"))


hiddenimports = [
    *collect_submodules("rerun_mp", filter=_is_needed),
    *("rerun_mp.__main__", "rerun_mp.cli.recover", "rerun_mp.collector.__main__"),
    *(f"rerun_mp.integrations.output_reader.{name}" for name in ("__main__", "reading")),
    *("numpy", "posix_ipc", "psutil", "pyarrow", "rerun_bindings"),
]
datas = copy_metadata("rerun-sdk")
