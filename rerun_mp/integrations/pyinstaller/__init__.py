"""Hooks for PyInstaller, which finds this directory by an entry point of the installed package.

A frozen program then holds what the collector loads, and is able to be the collector (`rerun_mp.hooks.entry`). Nothing
here imports PyInstaller; PyInstaller runs the files whose names begin with `hook-`, and puts `rthooks` into programs.
"""

from __future__ import annotations

import os

__all__ = ["hook_directories"]


def hook_directories() -> list[str]:
    """Return the directories in which PyInstaller finds the hooks."""
    return [os.path.dirname(os.path.abspath(__file__))]
