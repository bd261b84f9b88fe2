"""What the hot path costs is recorded, in instructions of the interpreter: a commit that makes it dearer says so."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import RunPython

RECORDED: dict[tuple[int, int], dict[str, int]] = {
    (3, 11): {
        "Scalars": 128,
        "series": 103,
        "TextLog": 178,
        "TextLog with level": 206,
        "TextLog after one with level": 210,
        "Points3D": 196,
        "Transform3D": 258,
        "set_time": 44,
    },
    (3, 12): {
        "Scalars": 119,
        "series": 97,
        "TextLog": 165,
        "TextLog with level": 190,
        "TextLog after one with level": 193,
        "Points3D": 183,
        "Transform3D": 237,
        "set_time": 42,
    },
    (3, 13): {
        "Scalars": 126,
        "series": 104,
        "TextLog": 172,
        "TextLog with level": 198,
        "TextLog after one with level": 200,
        "Points3D": 193,
        "Transform3D": 247,
        "set_time": 40,
    },
}
"""By the interpreter's minor version, as `python -m tests.harness.bytecodes` prints them."""

COMMAND = f"{sys.executable} -m tests.harness.bytecodes"


def test_each_call_takes_the_recorded_number_of_instructions(run_python: RunPython) -> None:
    """A figure may fall, and be recorded; before one may rise, its commit has to say what the instructions buy."""
    recorded = RECORDED.get(sys.version_info[:2])
    if recorded is None:
        pytest.skip(f"no figures for this minor version of Python: record what `{COMMAND}` prints")
    program = """
        import json
        from tests.harness.bytecodes import count_instructions
        print(json.dumps(count_instructions()))
    """
    counted = json.loads(run_python(program).check().stdout)
    assert counted == recorded, f"instructions a call changed; if that is meant, record what `{COMMAND}` prints"
