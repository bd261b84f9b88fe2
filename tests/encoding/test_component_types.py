"""Types of components: notations, and the blocks that each type has."""

from __future__ import annotations

import json

import pytest

from rerun_mp.encoding.component_types import MAX_DEPTH, parse_type
from rerun_mp.errors import CorruptionError

AXIS_ANGLE = ["struct", [["axis", False, ["fixed", 3, False, "f4"]], ["angle", True, "f4"]]]


@pytest.mark.parametrize(
    ("given", "columns", "unit"),
    [
        ("f4", 1, 4),
        ("u1", 1, 1),
        ("b1", 1, 1),
        ("s", 2, 4),
        (["fixed", 3, False, "f4"], 1, 12),
        (["fixed", 2, False, "s"], 2, 8),
        (["list", True, "i8"], 2, 4),
        (["list", True, ["list", False, "s"]], 4, 4),
        (AXIS_ANGLE, 3, 12),
        (["struct", [["a", True, "f8"]]], 2, 1),
        (["union", [["none", True, "n", 0], ["a", False, ["list", False, "f4"], 5]]], 3, 1),
    ],
)
def test_a_type_has_blocks(given: object, columns: int, unit: int) -> None:
    found = parse_type(json.dumps(given))
    assert (found.columns, found.unit) == (columns, unit)


def nested(depth: int) -> object:
    """Return lists of lists."""
    return ["list", False, nested(depth - 1)] if depth else "f4"


@pytest.mark.parametrize(
    "given",
    [
        "f3",
        "x",
        None,
        3,
        [],
        {},
        ["list"],
        ["list", False],
        ["list", False, "f4", 1],
        ["fixed", 0, False, "f4"],
        ["fixed", -1, False, "f4"],
        ["fixed", 1 << 20, False, "f4"],
        ["fixed", "3", False, "f4"],
        ["fixed", 60000, False, ["fixed", 60000, False, "f4"]],
        ["struct", []],
        ["struct", [["a\0", False, "f4"]]],
        ["struct", [["\ud800", False, "f4"]]],
        ["struct", [[1, False, "f4"]]],
        ["struct", [["a", False, "s"]] * 40],
        nested(MAX_DEPTH + 1),
        "n",
        ["list", False, "n"],
        ["union", []],
        ["union", [["a", False, "f4", 1], ["b", False, "f4", 1]]],
        ["union", [["a", False, "f4", 128]]],
    ],
)
def test_an_impossible_type_is_refused(given: object) -> None:
    with pytest.raises(CorruptionError, match="type of a component"):
        parse_type(json.dumps(given))


@pytest.mark.parametrize("text", ["", "f4", "[" * 5000])
def test_a_notation_must_be_json(text: str) -> None:
    with pytest.raises(CorruptionError, match="type of a component"):
        parse_type(text)
