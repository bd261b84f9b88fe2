"""Images of a segment in private memory, which a fuzzer may damage.

`fill` lets the real producer fill one segment: tables of each form, frames, static rows, columns, dictionaries, a
message over several slots, and one in a file of the spool. Each `Victim` is an image of that segment in which only some
slots are left: those that may be damaged, and two *intact* ones, a table slot and a frame slot of another recording.
The rows of the intact slots must arrive, whatever happens to the others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import rerun_mp as rr
from rerun_mp.api import selection
from rerun_mp.collector.drain.chunks import BuiltChunks
from rerun_mp.collector.drain.frame_chunks import build_chunks
from rerun_mp.collector.drain.sweep import Sweep
from rerun_mp.collector.drain.table_chunks import build_table_chunks
from rerun_mp.encoding.chains import unpack_chain
from rerun_mp.session import current
from rerun_mp.session.session import Session
from rerun_mp.shm import segment
from rerun_mp.shm.layout import Geometry, Header, Kind, Line, SlotState
from rerun_mp.shm.ring import Ring

__all__ = ["GEOMETRY", "INTACT", "Image", "Victim", "build", "fill"]

GEOMETRY = Geometry(slot_bytes=8192, slots=40, producers=8)
INTACT = "intact"
"""Application id of the intact rows."""
LARGE = 3 * GEOMETRY.slot_bytes
"""Bytes of a row that needs a chain."""
FILED = 20 * GEOMETRY.slot_bytes
"""Bytes of a row that goes into a file."""


class LoneSession(Session):
    """A session without a collector: its rows stay in the ring."""

    def watch_collector(self) -> None:
        """Start no collector."""


class Image:
    """The parts of a segment that a sweeper needs, in private memory."""

    def __init__(self, content: bytes, spool_directory: str) -> None:
        self.content = content
        self.memory = bytearray(content)
        self.ring = Ring(memoryview(self.memory), GEOMETRY)
        self.spool_directory = spool_directory
        words = self.ring.words
        self.nonce = b"".join(words[i].to_bytes(8, "little") for i in (Header.NONCE_LOW, Header.NONCE_HIGH))


@dataclass(slots=True)
class Victim:
    """An image, and the parts of it that a fuzzer may damage."""

    name: str
    image: Image
    slots: tuple[int, ...]
    """Slots that may be damaged, with their control lines."""
    intact: tuple[int, ...]
    regions: tuple[tuple[int, int], ...]
    """(begin, end) of the bytes that damage or a sweep may change."""
    files: dict[str, bytes]
    """Path to contents of the files in the spool."""

    def restore(self) -> None:
        """Undo all changes of the image and the spool."""
        for begin, end in self.regions:
            self.image.memory[begin:end] = self.image.content[begin:end]
        for path, content in self.files.items():
            if not os.path.exists(path):
                with open(path, "wb") as file:
                    file.write(content)


def build(image: Image, sweep: Sweep) -> BuiltChunks:
    """Build the chunks of a sweep, as the collector does."""
    built = build_chunks(sweep.taken, nonce=image.nonce)
    tables = build_table_chunks(sweep.rows, nonce=image.nonce) if sweep.rows else BuiltChunks()
    return BuiltChunks(
        built.chunks + tables.chunks, built.good_rows + tables.good_rows, built.damaged_rows + tables.damaged_rows
    )


@contextmanager
def fill(directory: str) -> Iterator[list[Victim]]:
    """Log rows of every form into a segment, and yield images of it. No other code of this process may log meanwhile.

    `directory` is private and empty. Runtime and spool directory are made in it.
    """
    path = f"{segment.DIRECTORY}/rmp-hostile-{os.getpid()}"
    runtime, spool_directory = (os.path.join(directory, name, "session") for name in ("runtime", "spool"))
    for made_here in (os.path.dirname(runtime), runtime, os.path.dirname(spool_directory), spool_directory):
        os.mkdir(made_here, 0o700)
    made = segment.create(path, GEOMETRY, os.urandom(16), runtime_directory=runtime, spool_directory=spool_directory)
    assert made is not None
    try:
        current._session = lone = LoneSession(os.urandom(32), made)
        _log_rows(lone)
        lone.seal()
        content = bytes(made.ring.memory)
        yield _victims(content, spool_directory)
    finally:
        current._session = None
        selection.set_global_data_recording(None)
        os.unlink(path)
        for name in ("runtime", "spool"):
            shutil.rmtree(os.path.join(directory, name))


def _log_rows(lone: LoneSession) -> None:
    rr.init(INTACT, "recording", send_properties=False)
    rr.set_time("step", sequence=1)
    for number in range(4):
        rr.log("table", rr.Scalars(float(number)))
        rr.log("frame", rr.Boxes3D(half_sizes=[[number, 1, 1]]))
    lone.seal()
    rr.init("victim", "recording", send_properties=False)
    points = np.arange(30, dtype=np.float32)
    for number in range(12):
        rr.set_time("step", sequence=number)
        rr.set_time("when", timestamp=1.7e9 + number)
        entity = f"world/{number % 3}"
        rr.log(entity, rr.Scalars(float(number)))
        rr.log(entity, rr.TextLog(f"text {number}"))
        rr.log(entity, rr.TextLog(f"text äöü {number}", level=["INFO", "WARN"][number % 2]))
        rr.log(entity, rr.Points3D(points[: 3 * (number % 5 + 1)].reshape(-1, 3)))
        rr.log(entity, rr.Points2D(points[: 2 * (number % 5 + 1)].reshape(-1, 2)))
        rr.log(entity, rr.Transform3D(translation=[number, 2.0, 3.0]))
        rr.log(
            entity,
            rr.Transform3D(translation=[1, 2, 3], mat3x3=np.eye(3), relation=rr.TransformRelation.ChildFromParent),
        )
    lone.seal()
    for number in range(6):
        rr.log("boxes", rr.Boxes3D(half_sizes=[[1, 1, number]] * number, labels=[f"box {number}"] * number))
        rr.log("any", rr.AnyValues(numbers=[1, 2, number], texts=["a", "ö"], flag=[True, False]))
        rr.log("image", rr.Image(np.full((4, 4, 3), number, np.uint8)))
        rr.log("static", rr.TextDocument(f"document {number}"), static=True)
    lone.seal()
    rr.send_columns(
        "columns",
        [rr.TimeColumn("step", sequence=range(50)), rr.TimeColumn("span", duration=np.arange(50.0))],
        rr.Scalars.columns(scalars=np.arange(50.0)),
    )
    rr.log("tensor", rr.Tensor(np.arange(24, dtype=np.int16).reshape(2, 3, 4)))
    words = pa.array(["red", "green", "red"]).dictionary_encode()
    rr.log("words", rr.AnyValues(words=words))
    lone.seal()
    rr.log("large", rr.Image(np.arange(LARGE, dtype=np.uint8).reshape(-1, 64)))
    rr.log("filed", rr.Image(np.arange(FILED, dtype=np.uint8).reshape(-1, 64)))
    lone.seal()


def _victims(content: bytes, spool_directory: str) -> list[Victim]:
    ring = Ring(memoryview(bytearray(content)), GEOMETRY)
    used = [slot for slot, state in enumerate(ring.states.tolist()) if state & 0xFF not in (0, SlotState.FREE)]
    kinds = {slot: ring.words[GEOMETRY.line_word(slot) + Line.KIND] for slot in used}
    first = ring.states[used[0]] & ~0xFF
    assert all(ring.states[slot] & ~0xFF == first for slot in used), "one producer has filled the segment"
    parts = {}
    for slot in used:
        if kinds[slot] == Kind.HEAD:
            begin = GEOMETRY.slot_offset(slot)
            head = ring.memory[begin : begin + GEOMETRY.slot_bytes]
            chain, _, _ = unpack_chain(head, GEOMETRY.slots, GEOMETRY.slot_bytes)
            parts[slot] = tuple(part for part, _ in chain)
    groups = [(slot, *parts.get(slot, ())) for slot in used if kinds[slot] != Kind.PART]
    intact = tuple(slot for slot in used if kinds[slot] != Kind.PART and _is_intact(content, slot))
    groups = [group for group in groups if group[0] not in intact]
    assert len(intact) == 2, intact
    victims = [
        _victim(content, spool_directory, f"{_kind_name(kinds[group[0]])} {group[0]}", group, intact)
        for group in groups
    ]
    everything = tuple(slot for group in groups for slot in group)
    victims.append(_victim(content, spool_directory, "everything", everything, intact))
    return victims


def _kind_name(kind: int) -> str:
    return {Kind.FRAMES: "frames", Kind.HEAD: "chain", Kind.PART: "part", Kind.TABLE: "table"}[kind]


def _is_intact(content: bytes, slot: int) -> bool:
    begin = GEOMETRY.slot_offset(slot)
    return INTACT.encode() in content[begin : begin + 200]


def _victim(content: bytes, spool_directory: str, name: str, slots: tuple[int, ...], intact: tuple[int, ...]) -> Victim:
    bare = bytearray(content)
    ring = Ring(memoryview(bare), GEOMETRY)
    for slot in range(GEOMETRY.slots):
        if slot not in slots and slot not in intact:
            line = GEOMETRY.line_word(slot)
            ring.words[line + Line.COUNT] = 0
            ring.states[slot] = SlotState.FREE
    regions = [(0, GEOMETRY.slots_offset)]
    regions += [(GEOMETRY.slot_offset(slot), GEOMETRY.slot_offset(slot + 1)) for slot in slots]
    files = {os.path.join(spool_directory, name): b"" for name in os.listdir(spool_directory)}
    for path in files:
        with open(path, "rb") as file:
            files[path] = file.read()
    return Victim(name, Image(bytes(bare), spool_directory), slots, intact, tuple(regions), files)
