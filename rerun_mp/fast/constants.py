"""Rerun's own objects that programs log as they are: the constants of `ViewCoordinates`.

Rerun converts such an object at each call. These functions read its values, as a program may have changed them, and
return layout and blocks of the row; None if rerun must judge the object. Any thread may call them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent, columns_layout
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["CONSTANTS"]

Row = tuple[ColumnsLayout, list[Any]]

CONSTANTS: dict[type, Callable[[Any], Row | None]] = {}
"""By rerun's class; empty until rerun is loaded."""

_LAYOUT = columns_layout(
    (
        ListComponent(
            "ViewCoordinates:xyz",
            "rerun.archetypes.ViewCoordinates",
            "rerun.components.ViewCoordinates",
            '["fixed",3,false,"u1"]',
        ),
    )
)


_direction: Any = None
"""Rerun's enumeration of directions, once it is loaded."""


def _view_coordinates(given: Any) -> Row | None:
    directions = given.coordinates
    if type(directions) is not list or len(directions) != 3 or set(map(type, directions)) != {_direction}:
        return None
    return _LAYOUT, [bytes([direction.value for direction in directions])]


def _remember(components: ModuleType) -> None:
    global _direction
    _direction = components.ViewCoordinates.ViewDir
    CONSTANTS[components.ViewCoordinates] = _view_coordinates


when_loaded("rerun.components", _remember)
