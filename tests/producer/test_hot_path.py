"""The cost of the hot path in interpreter instructions is recorded, so that no commit raises it unnoticed."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import RunPython

RECORDED: dict[tuple[int, int], dict[str, int]] = {
    (3, 11): {
        "Scalars": 105,
        "series": 90,
        "TextLog": 155,
        "TextLog with level": 178,
        "TextLog after one with level": 179,
        "Points3D": 173,
        "Image": 1236,
        "Transform3D": 235,
        "set_time": 44,
    },
    (3, 12): {
        "Scalars": 98,
        "series": 85,
        "TextLog": 144,
        "TextLog with level": 165,
        "TextLog after one with level": 165,
        "Points3D": 162,
        "Image": 1137,
        "Transform3D": 216,
        "set_time": 42,
    },
    (3, 13): {
        "Scalars": 102,
        "series": 89,
        "TextLog": 148,
        "TextLog with level": 170,
        "TextLog after one with level": 169,
        "Points3D": 170,
        "Image": 1080,
        "Transform3D": 223,
        "set_time": 40,
    },
}
"""By the interpreter's minor version, as `python -m tests.harness.bytecodes` prints them."""

COMMAND = f"{sys.executable} -m tests.harness.bytecodes"


def test_each_call_takes_the_recorded_number_of_instructions(run_python: RunPython) -> None:
    """Record a figure that falls. If one rises, the commit must say what the instructions buy."""
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
