"""A program that damages its own slots in shared memory. Usage: damaging.py FILE FIFO.

Prints `ready`, logs when the FIFO is opened, damages every slot that holds rows, prints `harmed NUMBER`, and logs again
when the FIFO is opened again. Finally it prints `LOGGED DELIVERED DROPPED_BY_DAMAGE DROPPED` of its account.
"""

from __future__ import annotations

import sys

import numpy as np

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.session.waiting import wait_until
from rerun_mp.shm.layout import Kind, Line, SlotState
from rerun_mp.shm.ring import Ring

ONES = b"\xff"
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
COLUMNS = rr.Scalars.columns(scalars=np.arange(5.0))
TIMES = [rr.TimeColumn("step", sequence=range(5))]
ROWS = 320
"""Rows of one `log_all`."""


def log_all() -> None:
    """Log rows of four kinds."""
    for step in range(ROWS // 8):
        rr.log("scalar", rr.Scalars(float(step)))
        rr.log("text", rr.TextLog("text"))
        rr.log("image", rr.Image(IMAGE))
        rr.send_columns("columns", TIMES, COLUMNS)


def damage(ring: Ring) -> int:
    """Damage each slot with rows: the 21st message of frame slots, heads of chains, and tables after their first page.

    Returns the number of damaged slots.
    """
    harmed = 0
    for slot, state in enumerate(ring.states.tolist()):
        line = ring.geometry.line_word(slot)
        count, kind = ring.words[line + Line.COUNT], ring.words[line + Line.KIND]
        begin, slot_bytes = ring.geometry.slot_offset(slot), ring.geometry.slot_bytes
        if state & 0xFF not in (SlotState.OPEN, SlotState.SEALED) or not count:
            continue
        if kind == Kind.FRAMES:
            at = begin
            for _ in range(21):
                size = int.from_bytes(ring.memory[at : at + 4], "little")
                if at + size >= begin + count:
                    break
                at += size
            ring.memory[at : at + 8] = ONES * 8
        elif kind == Kind.HEAD:
            ring.memory[begin : begin + 4] = ONES * 4
        elif kind == Kind.TABLE:
            ring.memory[begin + 4096 : begin + slot_bytes] = ONES * (slot_bytes - 4096)
        harmed += 1
    return harmed


def wait_for(fifo: str) -> None:
    """Wait until the test has opened the FIFO."""
    with open(fifo, "rb") as file:
        file.read()


def main(path: str, fifo: str) -> None:
    """Log, damage, and log to another file."""
    rr.init("rerun_mp_damaged")
    rr.save(path)
    rr.log("warm", rr.Scalars(0.0))
    rr.flush()
    print("ready", flush=True)
    wait_for(fifo)
    log_all()
    rr.log("large", rr.Image(np.zeros((300, 300, 3), np.uint8)))
    session = current.session()
    assert session is not None
    print("harmed", damage(session.segment.ring), flush=True)
    wait_for(fifo)
    log_all()
    rr.disconnect()  # seals this process's slots
    rr.save(path + ".later")
    log_all()
    rr.flush()
    logged = 1 + 3 * ROWS + 1
    assert wait_until(lambda: rr.statistics().logged == logged, 30), (rr.statistics(), logged)
    (account,) = rr.statistics().producers
    print(account.logged, account.delivered, account.dropped_by_damage, account.dropped, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
