"""What the hot path costs is recorded, in instructions of the interpreter: a commit that makes it dearer says so."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import RunPython

RECORDED: dict[tuple[int, int], dict[str, int]] = {
    (3, 11): {
        "Scalars": 135,
        "series": 103,
        "TextLog": 185,
        "TextLog with level": 213,
        "TextLog after one with level": 217,
        "Points3D": 203,
        "Transform3D": 265,
        "set_time": 50,
    },
    (3, 12): {
        "Scalars": 125,
        "series": 97,
        "TextLog": 171,
        "TextLog with level": 196,
        "TextLog after one with level": 199,
        "Points3D": 189,
        "Transform3D": 243,
        "set_time": 47,
    },
    (3, 13): {
        "Scalars": 132,
        "series": 104,
        "TextLog": 178,
        "TextLog with level": 204,
        "TextLog after one with level": 206,
        "Points3D": 199,
        "Transform3D": 253,
        "set_time": 46,
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
