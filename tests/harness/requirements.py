"""Skips or fails tests that need something that the machine lacks."""

from __future__ import annotations

import os

import pytest

__all__ = ["need"]


def need(missing: str | None, variable: str) -> None:
    """If something is missing, skip the test and name it. Fail instead if the variable is set, as in CI."""
    if missing is not None:
        if os.environ.get(variable):
            pytest.fail(f"this test needs {missing}")
        pytest.skip(f"this test needs {missing}")
