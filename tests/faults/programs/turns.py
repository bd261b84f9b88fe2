"""Turns of the programs beside this module, and the state of the session after all turns.

A turn is one call that is killed, interrupted or forked in. It has an entity of its own; earlier rows set its stage.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.session.accounts import read_accounts
from rerun_mp.session.session import Session
from rerun_mp.session.waiting import wait_until
from rerun_mp.shm.layout import Attention, Header, ProducerState, ProducerWord, SlotState
from tests.faults.programs.calls import CALLS, Call, number_of
from tests.harness.instructions import at_instruction

__all__ = ["PATIENCE_SECS", "end_stage", "joined_session", "log_step", "rows_before", "set_stage", "what_is_left"]

PATIENCE_SECS = 60.0


def joined_session() -> Session:
    """Return the session of this process."""
    joined = current.session()
    assert joined is not None
    return joined


def log_step(call: Call, path: str, turn: int, step: int) -> None:
    """Log one row of a turn."""
    rr.set_time("step", sequence=step)
    # The interpreter instruments traced code, and some versions miss its first instructions. So trace once before.
    with at_instruction(None, lambda _: None):
        call.prepare(rr, path, number_of(turn, step))()


def set_stage(call: Call, path: str, turn: int, before: int) -> Callable[[], object]:
    """Log the rows before the turn's call, and return the call, which must be made at once. Then call `end_stage`."""
    joined = joined_session()
    assert wait_until(lambda: has_room(joined), PATIENCE_SECS, meanwhile=joined.ring_doorbell)
    for step in range(before):
        log_step(call, path, turn, step)
    rr.set_time("step", sequence=before)
    log = call.prepare(rr, path, number_of(turn, before))
    if call.seals_before:
        joined.seal()
    words = joined.segment.ring.words
    if call.finds_asleep:
        stop_asleep(joined)
    while words[Header.ATTENTION] and not call.finds_asleep:
        joined.ring_doorbell()
    return log


def has_room(joined: Session) -> bool:
    """Return whether three quarters of the slots are free: the turn brings no pressure, which would seal its slot."""
    states = [state & 0xFF for state in joined.segment.ring.states.tolist()]
    return 4 * sum(state <= SlotState.FREE for state in states) >= 3 * len(states)


def stop_asleep(joined: Session) -> None:
    """Stop the collector's worker while it sleeps. Otherwise a row of another process may wake it before the call."""
    words = joined.segment.ring.words
    assert wait_until(lambda: words[Header.WORKER_PID] != 0, PATIENCE_SECS)
    worker = psutil.Process(words[Header.WORKER_PID])

    def is_asleep() -> bool:
        return words[Header.ATTENTION] == Attention.SLEEPING

    while True:
        assert wait_until(is_asleep, PATIENCE_SECS)
        worker.send_signal(signal.SIGSTOP)
        assert wait_until(lambda: worker.status() == psutil.STATUS_STOPPED, PATIENCE_SECS)
        if is_asleep():
            return
        worker.send_signal(signal.SIGCONT)


def end_stage(call: Call) -> None:
    """Let the collector go on if the stage of this call stopped it."""
    if call.finds_asleep:
        os.kill(joined_session().segment.ring.words[Header.WORKER_PID], signal.SIGCONT)


def rows_before(name: str) -> int:
    """Return how many rows set the stage for a call. Imports what the call needs."""
    call = CALLS[name]
    call.prepare(rr, f"loaded/{name}", 0)()
    if call.before >= 0:
        return call.before
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        fitting = 0
        while True:
            log = set_stage(call, f"fitting/{name}", 0, 0)
            with at_instruction(None, lambda _: None) as trace:
                log()
            if "SlotWriter.seal" in trace.functions:
                break
            fitting += 1
        os.write(writer, bytes([fitting]))
        os._exit(0)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with open(reader, "rb") as pipe:
        return pipe.read()[0]


def what_is_left() -> dict[str, Any]:
    """Wait until the collector has cleared up after dead processes. Return the accounts' totals and the leftovers."""
    joined = joined_session()
    joined.flush(PATIENCE_SECS)
    words, geometry = joined.segment.ring.words, joined.segment.ring.geometry

    def living() -> int:
        entries = [words[geometry.producer_word(i) + ProducerWord.STATE] & 0xFF for i in range(geometry.producers)]
        return entries.count(ProducerState.LIVE)

    def held() -> int:
        return sum(state & 0xFF > SlotState.FREE for state in joined.segment.ring.states.tolist())

    wait_until(lambda: living() == 1 and held() == 0, PATIENCE_SECS, meanwhile=joined.ring_doorbell)
    accounts = read_accounts(joined.segment)
    try:
        spool = os.listdir(joined.segment.spool_directory)
    except FileNotFoundError:
        spool = []
    return {
        "living": living(),
        "held slots": held(),
        "delivered": sum(account.delivered for account in accounts),
        "dropped": sum(account.dropped for account in accounts),
        "damaged": sum(account.dropped_by_damage for account in accounts),
        "damaged slots": words[Header.DAMAGED_SLOTS],
        "files": [name for name in spool if name.startswith("large-")],
        "workers": words[Header.WORKER_LIVES],
    }
