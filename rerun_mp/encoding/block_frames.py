"""Rows as blocks of bytes in a frame, for a process that has not loaded pyarrow, or is just loading it.

A fast archetype has the blocks of its row (`component_types`). A frame of kind BLOCKS holds them as they are; its shape
declares timelines and components in JSON instead of an Arrow schema. So such a row needs no import: a signal handler
can log it in the middle of any import. The collector makes the Arrow arrays::

    declaration: [[timeline, kind] ...], [[component, archetype, component type, notation] ...]

    ┌───────────────────────┬──────────────────────┬───────────────────────────────┐
    │ i64 x timelines       │ u64 size x blocks    │ blocks, each padded to 8      │
    └───────────────────────┴──────────────────────┴───────────────────────────────┘

The producer packs. The collector unpacks a private copy, and checks every number. Pure functions without Arrow; any
thread of any process may call them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rerun_mp.encoding.component_types import parse_type
from rerun_mp.encoding.frames import FrameKind, RecordingKey, Shape
from rerun_mp.encoding.row_layouts import ListComponent
from rerun_mp.encoding.tables import MAX_COMPONENTS, MAX_TIMELINES, WORD, checked_list_component
from rerun_mp.encoding.timepoints import TimeKind, TimelineNames, checked_timeline_name
from rerun_mp.errors import CorruptionError, InvalidArgumentError

__all__ = ["BlockRow", "Declaration", "pack_blocks", "read_declaration", "unpack_blocks"]


class BlockRow(NamedTuple):
    """One row of blocks: the arguments of `Session.append` without the entity."""

    shape: Shape
    pieces: Sequence[Any]
    """The body in pieces. A large block is a piece of its own and points at the user's memory."""
    rows: int = 1
    kind: FrameKind = FrameKind.BLOCKS


class Declaration(NamedTuple):
    """What the rows of one shape share."""

    timelines: TimelineNames
    components: tuple[ListComponent, ...]

    @property
    def columns(self) -> int:
        """Number of blocks in a row."""
        return sum(parse_type(component.type).columns for component in self.components)


def pack_blocks(
    recording: RecordingKey,
    components: tuple[ListComponent, ...],
    blocks: Sequence[Any],
    timelines: TimelineNames,
    times: Sequence[int],
    *,
    is_static: bool,
) -> BlockRow:
    """Return the row with these blocks, at one time on each timeline.

    Parameters
    ----------
    recording
        The recording of the row.
    components, blocks
        Of a `ColumnsLayout`, and of a row with this layout.
    timelines, times
        Names and kinds, in the order of the names, and a number or nanoseconds for each; none if static.
    is_static
        Whether the row is timeless.
    """
    sizes = list(map(len, blocks))
    pieces: list[Any] = [struct.pack(f"<{len(times)}q{len(sizes)}Q", *times, *sizes)]
    for block, size in zip(blocks, sizes, strict=True):
        pieces += block, bytes(-size % WORD)
    return BlockRow(Shape(recording, is_static, _declare(Declaration(timelines, components))), pieces)


def unpack_blocks(declared: Declaration, body: memoryview) -> tuple[list[int], list[memoryview]]:
    """Return the times and the blocks in the body of a row.

    Raises
    ------
    CorruptionError
        If the body's size differs from what its blocks claim.
    """
    number = len(declared.timelines), declared.columns
    head = struct.Struct(f"<{number[0]}q{number[1]}Q")
    if len(body) < head.size:
        raise CorruptionError(f"a row of {sum(number)} times and blocks has {len(body)} bytes")
    words = head.unpack_from(body)
    sizes = words[number[0] :]
    padded = [size + -size % WORD for size in sizes]
    if head.size + sum(padded) != len(body):
        raise CorruptionError(f"the blocks of a row claim {sum(padded)} bytes instead of {len(body) - head.size}")
    blocks = []
    at = head.size
    for size, step in zip(sizes, padded, strict=True):
        blocks.append(body[at : at + size])
        at += step
    return list(words[: number[0]]), blocks


@lru_cache(maxsize=256)
def _declare(declared: Declaration) -> bytes:
    return json.dumps(declared).encode()


@lru_cache(maxsize=256)
def read_declaration(text: bytes) -> Declaration:
    """Read the declaration of a shape.

    Raises
    ------
    CorruptionError
        If it is damaged, or names a component or a timeline twice.
    """
    try:
        timelines, components = json.loads(text)
        declared = Declaration(
            tuple((checked_timeline_name(name), TimeKind(kind)) for name, kind in timelines),
            tuple(checked_list_component(*facts) for facts in components),
        )
    except (ValueError, TypeError, RecursionError, InvalidArgumentError) as error:
        raise CorruptionError(f"a shape of blocks is damaged: {error}") from error
    names = [name for name, _ in declared.timelines]
    named = [component.name for component in declared.components]
    if len(set(names)) < len(names) or len(set(named)) < len(named):
        raise CorruptionError("a shape of blocks names a timeline or a component twice")
    if not 0 < len(named) < MAX_COMPONENTS or len(names) > MAX_TIMELINES:
        raise CorruptionError(f"a shape of blocks has {len(named)} components and {len(names)} timelines")
    return declared
