"""A wrong call raises or warns as rerun does, in strict mode and in lax mode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.parity import misuses

BETTER = {
    "rr.save(5)": "rerun writes a file named 5",
    'rr.log("a")': "Python's own TypeError in both modes: catching it would slow down every call",
    'rr.log("a", rr.Scalars(1.0), unknown=1)': "as above",
}
"""Calls that differ from rerun on purpose -> the reason."""


@pytest.mark.parametrize("mode", ["strict", "lax"])
def test_wrong_calls_raise_or_warn_as_in_rerun(run_python: RunPython, mode: str) -> None:
    """With the same class of exception or a subclass, or with the same warnings at the user's line."""
    theirs, ours = (
        json.loads(run_python(Path(misuses.__file__), package, mode, timeout=120.0).check().stdout)
        for package in ("rerun", "rerun_mp")
    )
    assert len(theirs) > 100
    wrong = []
    for call in theirs.keys() - BETTER.keys() - {one for one in theirs if one.startswith("rr.flush")}:
        expected, found = theirs[call], ours[call]
        is_same = expected["raised"][0] in found["raised"] if expected["raised"] else not found["raised"]
        categories = [[warning[0] for warning in one["warned"]] for one in (expected, found)]
        at_line = all(warning[2] for warning in found["warned"])
        if not is_same or categories[0] != categories[1] or not at_line:
            wrong.append(f"{call}\n    rerun    {expected}\n    rerun_mp {found}")
    assert not wrong, "\n".join(wrong)
