"""Every check: each model as the code is, and each model without one guard, which must have a counterexample.

A variant without a guard names the assertion that must break. This exposes a model that cannot fail, and a guard that
nothing needs.
"""

from __future__ import annotations

from tests.protocol.spin import Check, Mode

__all__ = ["CHECKS"]

LOST_IN_RING = "delivered[((p*"
OWNERSHIP_MOVED = "line_state[slot]=="
LEFT_IN_RING = "line_state[s]==0"
WAITS_FOR_EVER = "is_waiting[p]"

LOST_IN_SWEEP = "r>=committed[e]"
TWICE_IN_SWEEP = "chunk_of[((((epoch[s]*2)+s)*2)+i)]==0"
WRONG_TOTAL = "==sum"

PART_LOST = "owner[part]==me"
CHAIN_TORN = "cell[part_slot["
CHAIN_SLOT_LEFT = "state[s]==0"

NEWCOMER_STUCK = "has_left[0]&&has_left[1]"
SESSION_LEFT = "session_state[i]>=2"

SLOT_OF_ANOTHER = "(word!=2)||!(is_released)"

ROW_TORN = "payload!=0"
ROW_LOST = "returned[r]&&delivered[r]"
BARRIERS = ("BARRIER_ROWS", "BARRIER_COUNT", "BARRIER_FREE")
FENCES = ("FENCE_COMMIT", "FENCE_SEAL", "FENCE_FREE", "FENCE_LOAD_COUNT", "FENCE_LOAD_ROWS")

THREE_KEEP = ("PRODUCERS=3", "INDICES=3", "ROWS=1", "KILLS=0", "CRASHES=0")


def _barriers_but(missing: str) -> tuple[str, ...]:
    return ("WEAK", *(barrier for barrier in BARRIERS if barrier != missing))


def _fences_but(missing: str) -> tuple[str, ...]:
    return ("WEAK", *(fence for fence in FENCES if fence != missing))


CHECKS = (
    Check("slot", ("INDICES=1",), quick=True),
    Check("slot", ("INDICES=1",), mode=Mode.CYCLES),
    Check("slot"),
    Check("slot", ("PRODUCERS=3", "ROWS=1", "CRASHES=0")),
    Check("slot", THREE_KEEP),
    Check("slot", ("NO_SLOT_LOCK",), breaks=OWNERSHIP_MOVED),
    Check("slot", ("NO_LOOK_UNDER_LOCK",), breaks=OWNERSHIP_MOVED),
    Check("slot", ("COUNT_BEFORE_STATE",), breaks=LOST_IN_RING, quick=True),
    Check("slot", ("INDEX_FREED_EARLY", "INDICES=1"), breaks=LEFT_IN_RING, quick=True),
    Check("slot", ("SLOTS_BEFORE_LEASE", "INDICES=1"), breaks=LEFT_IN_RING),
    Check("slot", ("DEATH_GUESSED",), breaks=OWNERSHIP_MOVED, quick=True),
    Check("slot", ("STATE_FREED_FIRST",), breaks=OWNERSHIP_MOVED),
    Check("slot", (*THREE_KEEP, "KEEP_ALWAYS"), breaks=WAITS_FOR_EVER),
    Check("chain"),
    Check("chain", ("CRASHES=0",), quick=True),
    Check("chain", ("CRASHES=0",), mode=Mode.CYCLES),
    Check("chain", ("KILLS=0",), mode=Mode.CYCLES),
    Check("chain", ("PART_FREED_IN_PLACE",), breaks=CHAIN_SLOT_LEFT, quick=True),
    Check("chain", ("NO_EPOCH_OF_PART",), breaks=PART_LOST, quick=True),
    Check("chain", ("HEAD_FREED_FIRST",), breaks=CHAIN_SLOT_LEFT),
    Check("chain", ("DEAD_PARTS_FREED",), breaks=CHAIN_TORN),
    Check("chain", ("HEAD_BEFORE_PARTS",), breaks=CHAIN_TORN),
    Check("sweep"),
    Check("sweep", ("CRASHES=1",), mode=Mode.CYCLES),
    Check("sweep", ("CRASHES=1",), quick=True),
    Check("sweep", ("DONE_BEFORE_FLUSH",), breaks=WRONG_TOTAL, quick=True),
    Check("sweep", ("TWO_STORES",), breaks=LOST_IN_SWEEP, quick=True),
    Check("sweep", ("ONE_WORD",), breaks=TWICE_IN_SWEEP),
    Check("sweep", ("FORWARD_BEFORE_WORDS",), breaks=TWICE_IN_SWEEP),
    Check("sweep", ("NO_RESUME",), breaks=TWICE_IN_SWEEP),
    Check("sweep", ("RESUME_TO_COUNT",), breaks=TWICE_IN_SWEEP),
    Check("sweep", ("AHEAD_FROM_DONE",), breaks=WRONG_TOTAL),
    Check("sweep", ("TAKEN_CLEARED_FIRST",), breaks=WRONG_TOTAL),
    Check("sweep", ("NO_EPOCH_IN_ID",), breaks=LOST_IN_SWEEP),
    Check("sweep", ("ONE_TOTAL",), breaks=WRONG_TOTAL),
    Check("session", quick=True),
    Check("session", mode=Mode.CYCLES),
    Check("session", ("NO_INODE_COMPARE",), breaks=NEWCOMER_STUCK, quick=True),
    Check("session", ("NO_EXCLUSIVE_LOCK",), breaks=NEWCOMER_STUCK),
    Check("session", ("PROBE_BY_TRYING",), breaks="is_ending[mine]", quick=True),
    Check("session", ("ENDING_BEFORE_RENAME",), breaks=NEWCOMER_STUCK, quick=True),
    Check("session", ("ONE_TRY",), breaks=SESSION_LEFT, quick=True),
    Check("session", ("RENAME_UNCHECKED",), breaks="name==i"),
    Check("close", quick=True),
    Check("close", ("WEAK",), quick=True),
    Check("close", ("NO_BARRIER",), breaks=SLOT_OF_ANOTHER, quick=True),
    Check("close", ("LOOK_FIRST",), breaks=SLOT_OF_ANOTHER, quick=True),
    Check("close", ("NO_WAIT",), breaks=SLOT_OF_ANOTHER, quick=True),
    Check("order", quick=True),
    Check("order", ("WEAK", *FENCES), quick=True),
    Check("order", ("WEAK", *BARRIERS), quick=True),
    Check("order", ("WEAK",), breaks=ROW_LOST, quick=True),
    Check("order", ("WEAK", "FENCE_COMMIT"), breaks=ROW_LOST),
    Check("order", _fences_but("FENCE_COMMIT"), breaks=ROW_TORN),
    Check("order", _fences_but("FENCE_SEAL"), breaks=ROW_LOST),
    Check("order", _fences_but("FENCE_FREE"), breaks=ROW_LOST),
    Check("order", _fences_but("FENCE_LOAD_COUNT"), breaks=ROW_LOST),
    Check("order", _fences_but("FENCE_LOAD_ROWS"), breaks=ROW_TORN),
    Check("order", _barriers_but("BARRIER_ROWS"), breaks=ROW_TORN),
    Check("order", _barriers_but("BARRIER_COUNT"), breaks=ROW_LOST),
    Check("order", _barriers_but("BARRIER_FREE"), breaks=ROW_LOST),
)
