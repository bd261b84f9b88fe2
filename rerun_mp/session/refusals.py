"""Turns errors of the system into `ResourceError`s that name the failed step. Any process and thread may call."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rerun_mp.errors import FlushTimeoutError, ResourceError
from rerun_mp.shm.interruptions import is_from_handler
from rerun_mp.shm.remedies import remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["as_resource_error"]


@contextlib.contextmanager
def as_resource_error(failure: str) -> Iterator[None]:
    """Raise a `ResourceError` that begins with `failure` in place of an `OSError` from the system."""
    try:
        yield
    except (ResourceError, FlushTimeoutError):
        raise
    except OSError as error:
        if is_from_handler(error):
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise ResourceError(f"{failure}: {error.strerror}{where}. {remedy(error)}") from error
