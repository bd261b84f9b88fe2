"""What a test needs of the machine, and what becomes of it without."""

from __future__ import annotations

import os

import pytest

__all__ = ["need"]


def need(missing: str | None, variable: str) -> None:
    """Skip the test, saying what is missing, if anything is; fail it where the variable is set, as it is in CI."""
    if missing is not None:
        if os.environ.get(variable):
            pytest.fail(f"this test needs {missing}")
        pytest.skip(f"this test needs {missing}")
