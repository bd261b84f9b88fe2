"""Runs in a frozen program before its own first line: a program that was started to be a collector becomes one."""

import sys

if sys.argv[1:2] == ["--rerun-mp-run"]:
    import rerun_mp.hooks.entry  # noqa: F401 (it does not return)
