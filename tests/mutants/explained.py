"""Mutants that no test on a bytearray can tell from the original, and why."""

from __future__ import annotations

from itertools import pairwise

__all__ = ["SURVIVORS"]

_FORMAT = (
    "words[Header.VERSION] = VERSION",
    "words[Header.TOTAL_BYTES] = geometry.total_bytes",
    "words[Header.SLOT_BYTES] = geometry.slot_bytes",
    "words[Header.SLOTS] = geometry.slots",
    "words[Header.PRODUCERS] = geometry.producers",
    "words[Header.NONCE_LOW] = int.from_bytes(nonce[:8], 'little')",
    "words[Header.NONCE_HIGH] = int.from_bytes(nonce[8:16], 'little')",
    "words[Header.POLICY] = policy",
    "words[Header.BLOCK_TIMEOUT_NS] = block_timeout_ns",
    "words[Header.FLUSH_TICK_NS] = flush_tick_ns",
    "words[Header.CREATED_NS] = created_ns",
    "words[Header.SPOOL_BYTES] = spool_bytes",
    "words[Header.ORDERING] = ordering",
    "words[Header.ROOT] = int.from_bytes(root or nonce[:8], 'little')",
    "words[Header.FOUNDER] = founder",
    "words[Header.FREE_SLOTS] = geometry.slots",
    "words[Header.USABLE_SLOTS] = geometry.slots",
)

SURVIVORS: dict[str, dict[str, str]] = {
    "layout": {
        "Geometry.check: self.slot_bytes > TAKEN_MASK -> self.slot_bytes >= TAKEN_MASK": (
            "the mask is odd, so no whole number of pages"
        ),
    },
    "ring": {
        **{
            f"Ring.format: {second} before {first}": "no process reads a header before its magic, still the last store"
            for first, second in pairwise(_FORMAT)
        },
        "Ring.format: 16 -> 17": "a nonce has 16 bytes",
        "Ring.free: words[line + Line.COUNT] = 0 before words[line + Line.EPOCH] = words[line + Line.EPOCH] + 1 "
        "& MAX_WORD": (
            "a collector that dies in between leaves a sealed slot, which the next one frees again; epochs only differ"
        ),
        "Ring.free: words[line + Line.TAKEN_B] = 0 before words[line + Line.TAKEN_A] = 0": (
            "the count is 0 already, so a sweep takes nothing from the slot"
        ),
        "Ring.free: words[line + Line.ROWS] = 0 before words[line + Line.TAKEN_B] = 0": (
            "the count is 0 already, and `rows` counts rows below the count"
        ),
        "Ring.owner_slots: 255 -> 256": "no state word is 256: it would have no `SlotState`",
        "Ring.owner_slots: state > 255 -> state >= 255": "no state word is 255: there is no such state",
        "Ring.add_total: self.words[older + 1] = sweep before self.words[older] = min(self.words[current] + rows, "
        "MAX_WORD)": (
            "a reader takes neither word before the header says that the sweep is done, and a sweep that was cut off "
            "writes both again"
        ),
        "Ring._current: first < second <= sweep -> first <= second <= sweep": (
            "the sweeps are equal only while both are 0; then both totals are 0"
        ),
        "Ring.take: a <= b -> a < b": "the words are equal only while both are 0; then either may be written",
    },
    "writer": {},
}
