"""The cost of the hot path in interpreter instructions is recorded, so that no commit raises it unnoticed."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import RunPython

RECORDED: dict[tuple[int, int], dict[str, int]] = {
    (3, 11): {
        "Scalars": 113,
        "series": 98,
        "TextLog": 159,
        "TextLog with level": 182,
        "TextLog after one with level": 185,
        "Points3D": 211,
        "Points3D with colors": 406,
        "Boxes3D": 323,
        "LineStrips3D": 327,
        "Arrows3D": 372,
        "AnyValues": 405,
        "Tensor": 1227,
        "two archetypes": 473,
        "Image": 1253,
        "Transform3D": 242,
        "set_time": 44,
    },
    (3, 12): {
        "Scalars": 106,
        "series": 93,
        "TextLog": 148,
        "TextLog with level": 169,
        "TextLog after one with level": 170,
        "Points3D": 200,
        "Points3D with colors": 381,
        "Boxes3D": 310,
        "LineStrips3D": 301,
        "Arrows3D": 351,
        "AnyValues": 375,
        "Tensor": 1124,
        "two archetypes": 437,
        "Image": 1153,
        "Transform3D": 223,
        "set_time": 42,
    },
    (3, 13): {
        "Scalars": 110,
        "series": 97,
        "TextLog": 151,
        "TextLog with level": 173,
        "TextLog after one with level": 173,
        "Points3D": 207,
        "Points3D with colors": 389,
        "Boxes3D": 316,
        "LineStrips3D": 307,
        "Arrows3D": 356,
        "AnyValues": 375,
        "Tensor": 1131,
        "two archetypes": 433,
        "Image": 1100,
        "Transform3D": 230,
        "set_time": 40,
    },
    (3, 14): {
        "Scalars": 120,
        "series": 104,
        "TextLog": 163,
        "TextLog with level": 187,
        "TextLog after one with level": 188,
        "Points3D": 231,
        "Points3D with colors": 418,
        "Boxes3D": 345,
        "LineStrips3D": 333,
        "Arrows3D": 371,
        "AnyValues": 416,
        "Tensor": 1163,
        "two archetypes": 460,
        "Image": 1147,
        "Transform3D": 251,
        "set_time": 49,
    },
}
"""By the interpreter's minor version, as `python -m tests.harness.bytecodes` prints them. Only these calls count."""

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
