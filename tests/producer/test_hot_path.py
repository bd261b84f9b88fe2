"""The cost of the hot path in interpreter instructions is recorded, so that no commit raises it unnoticed."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import RunPython

RECORDED: dict[tuple[int, int], dict[str, int]] = {
    (3, 11): {
        "Scalars": 108,
        "series": 93,
        "TextLog": 154,
        "TextLog with level": 177,
        "TextLog after one with level": 180,
        "Points3D": 206,
        "Points3D with colors": 401,
        "Boxes3D": 318,
        "LineStrips3D": 322,
        "Arrows3D": 367,
        "AnyValues": 400,
        "Tensor": 1231,
        "two archetypes": 474,
        "Image": 564,
        "Transform3D": 237,
        "set_time": 44,
    },
    (3, 12): {
        "Scalars": 100,
        "series": 87,
        "TextLog": 142,
        "TextLog with level": 163,
        "TextLog after one with level": 164,
        "Points3D": 194,
        "Points3D with colors": 375,
        "Boxes3D": 304,
        "LineStrips3D": 295,
        "Arrows3D": 345,
        "AnyValues": 369,
        "Tensor": 1127,
        "two archetypes": 437,
        "Image": 531,
        "Transform3D": 217,
        "set_time": 42,
    },
    (3, 13): {
        "Scalars": 103,
        "series": 90,
        "TextLog": 144,
        "TextLog with level": 166,
        "TextLog after one with level": 166,
        "Points3D": 200,
        "Points3D with colors": 383,
        "Boxes3D": 310,
        "LineStrips3D": 301,
        "Arrows3D": 350,
        "AnyValues": 369,
        "Tensor": 1134,
        "two archetypes": 435,
        "Image": 537,
        "Transform3D": 223,
        "set_time": 40,
    },
    (3, 14): {
        "Scalars": 113,
        "series": 97,
        "TextLog": 156,
        "TextLog with level": 180,
        "TextLog after one with level": 181,
        "Points3D": 224,
        "Points3D with colors": 412,
        "Boxes3D": 339,
        "LineStrips3D": 327,
        "Arrows3D": 365,
        "AnyValues": 410,
        "Transform3D": 244,
        "set_time": 49,
    },
}
"""By the interpreter's minor version, as `python -m tests.harness.bytecodes` prints them. Only these calls count.

`Image`, `Tensor` and two archetypes have no figure on 3.14 yet."""

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
    counted = {name: counted[name] for name in recorded}
    assert counted == recorded, f"instructions a call changed; if that is meant, record what `{COMMAND}` prints"
