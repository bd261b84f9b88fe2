"""A user's program: `series` refuses what `log` refuses, with the same warning at the same line."""

from __future__ import annotations

import warnings
from typing import Any

import rerun_mp as rr

rr.init("app")
number = rr.series("number")
number(1.0)


def warnings_of(value: Any, name: str) -> list[tuple[str, type[Warning], str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if name == "log":
            rr.log("number", rr.Scalars(value))
        else:
            number(value)
    return [(str(warning.message), warning.category, warning.filename) for warning in caught]


for wrong in ("text", 10**400, object()):
    seen = warnings_of(wrong, "log")
    assert seen == warnings_of(wrong, "series"), seen
    assert seen[0][2] == __file__, seen
rr.set_strict_mode(True)
try:
    number("text")
except ValueError:
    pass
else:
    raise AssertionError("no error in strict mode")
