"""The warning that every old name gives."""

from __future__ import annotations

import warnings

__all__ = ["warn_of_old_name"]


def warn_of_old_name(old: str, new: str, *, level: int = 3) -> None:
    """Warn that `old` is deprecated, at the line that called the caller of this function."""
    warnings.warn(f"{old} is deprecated, rerun-sdk has dropped it; use {new}", DeprecationWarning, stacklevel=level)
