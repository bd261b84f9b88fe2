"""Skips or fails tests that need something that the machine lacks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

__all__ = ["need", "need_field"]


def need(missing: str | None, variable: str) -> None:
    """If something is missing, skip the test and name it. Fail instead if the variable is set, as in CI."""
    if missing is not None:
        if os.environ.get(variable):
            pytest.fail(f"this test needs {missing}")
        pytest.skip(f"this test needs {missing}")


def need_field(component: str) -> str:
    """Skip the test without a program or module of the field; see `make field`. Return a program's path.

    In CI, which sets RERUN_MP_REQUIRE_FIELD, the test fails instead.
    """
    beside_python = Path(sys.executable).with_name(component)
    path = str(beside_python) if beside_python.exists() else shutil.which(component)
    is_there = path is not None or importlib.util.find_spec(component) is not None
    need(None if is_there else component, "RERUN_MP_REQUIRE_FIELD")
    return path or ""
