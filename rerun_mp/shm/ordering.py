"""Memory order between processes: a process that sees a count must also see the rows below it.

On x86-64, other processors see the stores of a process in program order, and nothing needs to be done (`STRONG`).
Elsewhere, such as on aarch64, one of two ways is chosen by the founder and stands in the segment's header:

- `BARRIERS`: producers register with the kernel once, and the collector has it run a full memory barrier on every
  processor that runs a registered process, by membarrier(2), at three places: between a count and the rows below it,
  between a state and the count that decides whether a slot is freed, and between a cleared line and the FREE store.
  A call of `log` needs no fence. Linux 4.16.
- `FENCES`: the kernel refuses membarrier(2). Each producer runs a fence of its own before it stores a count or a
  state, and so does the collector at its three places. An append to a table has no place for a fence, so rows go into
  frames.

If a producer's sandbox refuses the registration, the producer runs fences in either case. tests/protocol/order.pml
checks each of these places. Any thread may call.
"""

from __future__ import annotations

import os

from rerun_mp.shm import kernel

__all__ = ["BARRIERS", "FENCES", "STRONG", "choose", "order_loads", "register_producer"]

STRONG = 0
BARRIERS = 1
FENCES = 2

NAMES = {"strong": STRONG, "barriers": BARRIERS, "fences": FENCES}
STRONG_MACHINES = ("x86_64",)


def choose() -> int:
    """Return the way of a new session. RERUN_MP_MEMORY_ORDER (strong, barriers, fences) overrides the choice.

    Barriers that the kernel refuses are not chosen in any case, because no collector could read a row.
    """
    chosen = NAMES.get(os.environ.get("RERUN_MP_MEMORY_ORDER", "").lower())
    if chosen in (STRONG, FENCES):
        return chosen
    if chosen is None and os.uname().machine in STRONG_MACHINES:
        return STRONG
    return BARRIERS if kernel.register_for_barriers() and kernel.barrier() else FENCES


def register_producer(way: int) -> bool:
    """Register this process as a producer of a session. Returns whether its stores need no fence of its own."""
    return way == STRONG or (way == BARRIERS and kernel.register_for_barriers())


def order_loads(way: int) -> None:
    """Order the collector's loads and stores before this call with those after it, and with the producers' stores.

    Raises
    ------
    OSError
        If the kernel refuses the barrier that the session's founder could use.
    """
    if way == FENCES:
        kernel.fence()
    elif way != STRONG and not kernel.barrier():
        raise OSError("membarrier(2) is refused here, but was not when the session began")
