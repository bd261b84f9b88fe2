"""Makes the producer with which a process logs into its session, and waits for it when the ring is full.

Any thread may call, also in a signal handler.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rerun_mp.errors import ResourceError, RingFullError
from rerun_mp.producer.producer import Producer
from rerun_mp.session.waiting import pause_length, wait_until
from rerun_mp.settings import Policy
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.layout import Header
from rerun_mp.shm.remedies import remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from rerun_mp.shm.doorbell import Ringer
    from rerun_mp.shm.leases import ForkGuard
    from rerun_mp.shm.segment import Segment

__all__ = ["make_producer"]

CHECK_EVERY_ATTEMPTS = 20
"""A writer that waits for space checks on the collector once in this many attempts."""


def make_producer(
    segment: Segment,
    guard: ForkGuard,
    ringer: Ringer,
    watch_collector: Callable[[], None],
    watch_while_full: Callable[[], None],
    find_scope: Callable[[], int],
) -> Producer:
    """Register this process with the session and return its producer.

    Parameters
    ----------
    segment, guard, ringer
        The session's segment, fork guard and ringer.
    watch_collector
        Starts a collector if there is none.
    watch_while_full
        Likewise, while a call waits for space; raises if no collector can be started. Called again and again.
    find_scope
        Returns the token of the scope that the process logs in; 0 for none. May read a file.

    Raises
    ------
    RingFullError
        If the producers table stays full for as long as the policy waits, or the system refuses a descriptor.
    CollectorError
        If the producers table is full, and no collector can be started.
    """
    words = segment.ring.words
    begin = time.monotonic_ns()

    def wait_for_space(attempt: int) -> None:
        """Sleep once before the next attempt of a writer that found no space."""
        if attempt % CHECK_EVERY_ATTEMPTS == 0:
            watch_while_full()
        time.sleep(pause_length(attempt))
        if not words[Header.FREE_SLOTS]:
            wait_until(lambda: bool(words[Header.FREE_SLOTS]), 0.1)

    def wait_for_entry(attempt: int) -> None:
        _check_policy(segment, time.monotonic_ns() - begin)
        wait_for_space(attempt)

    try:
        return Producer(
            segment, guard, ringer, wait_for_space, watch_collector, wait_for_entry=wait_for_entry, scope=find_scope()
        )
    except ResourceError:
        raise
    except OSError as error:
        if not is_own(error):
            raise
        refused = RingFullError(
            f"this process cannot register with its session: {error.strerror}; the row was not logged. {remedy(error)}"
        )
        refused.cause = f"the process could not register with its session ({error.strerror})"
        raise refused from error


def _check_policy(segment: Segment, waited_ns: int) -> None:
    """Follow the policy when the producers table is full. A process without an entry cannot even count a drop."""
    words = segment.ring.words
    timeout_ns = words[Header.BLOCK_TIMEOUT_NS]
    if words[Header.POLICY] != Policy.BLOCK or (timeout_ns and waited_ns >= timeout_ns):
        refused = RingFullError(
            f"{segment.ring.geometry.producers} processes log at this moment, which is the session's limit; "
            "this row was not logged. Raise the limit (RERUN_MP_PRODUCERS)."
        )
        refused.cause = "too many processes logged at one time"
        raise refused
