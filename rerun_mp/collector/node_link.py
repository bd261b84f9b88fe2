"""A node's link to its head: reports the node's state, ships closed parts, and samples the head's clock.

A thread of its own makes every call that may wait, so an absent head delays neither rows nor programs. At the end of
the session the main thread closes the parts, ships them for a bounded time, and leaves the rest to a shipper that
outlives it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rerun_mp.collector.drain.own_chunks import number_chunk
from rerun_mp.collector.messages import say
from rerun_mp.collector.reporting.own_entities import MAX_RECORDINGS, own_entity
from rerun_mp.errors import RerunMpError
from rerun_mp.hooks.detached import start_detached
from rerun_mp.hooks.interpreters import python_command
from rerun_mp.session.collector_start import collector_environment, output_to
from rerun_mp.session.node import (
    close_parts,
    node_name,
    node_status,
    note_end,
    open_directory,
    recording_name,
    remove_open_directory,
    report_order,
)
from rerun_mp.shipping.shipper import PartTotals, Shipper, drop_oldest, unshipped_in
from rerun_mp.shipping.targets import open_target

if TYPE_CHECKING:
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.session.config import NodeSpec
    from rerun_mp.shipping.targets import ClockSample, Target

__all__ = ["NodeLink"]

NOTE_SECS = 1.0
"""Seconds between two reports to the head."""
SAME_SECS = 5.0
"""Seconds between two reports to the head of a recording that has no new rows. The first recording has one each second,
which asks for the head's time."""
MAX_RETRY_SECS = 10.0
"""Maximum seconds between two attempts to reach a head that is away."""
SAMPLE_SECS = 10.0
"""Minimum seconds between two samples of the head's clock in the recordings, after the first."""
SHIP_PATIENCE = 3.0
"""Seconds without progress after which the end of the session leaves parts to a shipper of its own."""
HANG_SECS = 6.0
"""Seconds after which the end of the session leaves a target that hangs. Connections to a head have shorter limits."""
THREAD_SECS = 1.0
"""Maximum seconds that the end of the session waits for the thread to let go of the part that it ships."""
MAX_SHIP_SECS = 30.0
"""Maximum seconds that the end of the session ships parts."""


class NodeLink:
    """The link of one session. Used by the worker's main thread, but for `_run`."""

    def __init__(self, node: NodeSpec, nonce: bytes, outputs: Outputs) -> None:
        self._node = node
        self._nonce = nonce
        self._name = node_name(node, nonce)
        self._outputs = outputs
        self._samples: deque[ClockSample] = deque(maxlen=4)
        self._next_sample = self._next_status = 0.0
        self._status: dict[str, dict[str, Any]] = {}
        """Recording -> the state that the head gets."""
        self._open = open_directory(node, nonce)
        self._list_ends: dict[str, int] = {}
        """Path of each part list -> offset up to which its lines have been read. Used by the thread alone."""
        self._told: dict[str, tuple[dict[str, Any], float]] = {}
        """Recording -> the state that the head has, and when it got it (monotonic seconds). Used by the thread."""
        self._dropped = PartTotals(0, 0, 0)
        """Parts that were removed before they were shipped."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rerun_mp-node", daemon=True)
        self._thread.start()

    # In the main thread

    def report(self) -> None:
        """Update the state that the head gets, and log samples of its clock."""
        now = time.monotonic()
        if now >= self._next_status:
            self._next_status = now + NOTE_SECS
            self._status = {
                recording_name(key): node_status(self._node, key, "running", store.rotating.rows_until_now())
                for key, store in self._outputs.stores()
            }
        if self._samples and now >= self._next_sample:
            self._next_sample = now + SAMPLE_SECS
            sample = self._samples.pop()
            values = {"offset_seconds": sample.offset_ns / 1e9, "delay_seconds": sample.delay_ns / 1e9}
            entity, now_ns = own_entity(self._node.host, "clock"), time.time_ns()
            self._outputs.add(
                [
                    number_chunk(key, f"{entity}/{name}", value, now_ns)
                    for key, _ in self._outputs.stores()[:MAX_RECORDINGS]
                    for name, value in values.items()
                ]
            )

    def finish(self) -> list[str]:
        """Close and ship the parts, once the files are complete, and return lines for the user about what is left."""
        self._stopped.set()
        self._thread.join(THREAD_SECS)
        try:
            close_parts(self._node.parts)
            remove_open_directory(self._open)
        except (OSError, RerunMpError) as error:
            say(f"worker {os.getpid()}: {error}")
            return [f"parts could not be closed: {error}; they are in {self._open}"]
        self._note_end()
        self._drop_oldest()
        lines = self._lines_of_dropped()
        last = _LastShipping(Shipper(self._node.parts, self._node.token, self._node.ship_to))
        if not last.wait():
            lines += self._leave_to_shipper(last.failure)
        return lines

    def _note_end(self) -> None:
        """Write that this node has ended into its directory. A shipper reports that to the head."""
        try:
            for key, store in self._outputs.stores():
                note_end(self._node, self._nonce, key, store.rotating.rows_until_now())
        except OSError as error:
            say(f"worker {os.getpid()}: the head cannot be told that this node has ended: {error}")

    def _leave_to_shipper(self, failure: str | None) -> list[str]:
        command = [*python_command("rerun_mp"), "ship", "--quiet", f"--for={self._node.ship_timeout:g}"]
        environment = {**collector_environment(), "RERUN_MP_HEAD_TOKEN": self._node.token}
        try:
            start_detached([*command, self._node.parts, self._node.ship_to], environment, output_to(os.devnull))
        except (OSError, RerunMpError) as error:
            say(f"worker {os.getpid()}: no shipper could be started: {error}")
        left = unshipped_in(self._node.parts, self._node.ship_to)
        if not left.parts:
            return []
        reason = f" ({failure})" if failure else ""
        line = (
            f"{left.parts} parts with {left.rows:,} rows of this host are not at {self._node.ship_to} yet{reason}. "
            f"They are in {self._node.parts}. A shipper goes on for {self._node.ship_timeout:g} s if this host "
            f"or container runs so long; the next run ships what it leaves, and so does: "
            f"rerun-mp ship {self._node.parts} {self._node.ship_to}"
        )
        return [line]

    def _drop_oldest(self) -> None:
        """Remove the oldest parts beyond the limit. The thread calls it, and the main thread when that has ended."""
        dropped = drop_oldest(self._node.parts, self._node.parts_bytes)
        if dropped.parts:
            self._dropped = PartTotals(*(one + more for one, more in zip(self._dropped, dropped, strict=True)))
            for line in self._lines_of_dropped():
                say(f"rerun_mp: {line}")

    def _lines_of_dropped(self) -> list[str]:
        if not self._dropped.parts:
            return []
        line = (
            f"{self._dropped.parts} parts with {self._dropped.rows:,} rows were removed from {self._node.parts} before "
            f"they were shipped: the oldest of more than {self._node.parts_bytes:,} bytes (enlarge "
            f"RERUN_MP_PARTS_BYTES)."
        )
        return [line]

    # In the thread

    def _run(self) -> None:
        target = open_target(self._node.ship_to, self._node.token)
        shipper = Shipper(self._node.parts, self._node.token, self._node.ship_to)
        said, pause_secs, next_attempt = "", NOTE_SECS, 0.0
        while not self._stopped.wait(NOTE_SECS if self._status else 0.05):
            failure = self._close_parts()
            if time.monotonic() >= next_attempt:
                failure = self._report_and_ship(target, shipper) or failure
                pause_secs = NOTE_SECS if failure is None else min(2 * pause_secs, MAX_RETRY_SECS)
                next_attempt = 0.0 if failure is None else time.monotonic() + pause_secs
                if failure and failure != said:
                    say(f"rerun_mp: {failure}")
                said = failure or ""
        target.close()
        shipper.close()

    def _close_parts(self) -> str | None:
        """Close parts, and remove those beyond the limit. Returns the reason of a failure, or None."""
        try:
            known = dict(self._list_ends)
            close_parts(self._node.parts, self._list_ends)
            if known != self._list_ends:
                self._drop_oldest()
        except (RerunMpError, OSError) as error:
            return str(error)
        return None

    def _report_and_ship(self, target: Target, shipper: Shipper) -> str | None:
        """Tell the head the node's state, and ship parts. Returns the reason of a failure, or None."""
        try:
            for number, (recording, status) in enumerate(self._status.items()):
                told, told_secs = self._told.get(recording, ({}, 0.0))
                if number and status == told and time.monotonic() < told_secs + SAME_SECS:
                    continue
                sample = target.note(recording, self._name, {**status, **report_order()})
                self._told[recording] = status, time.monotonic()
                if sample is not None:
                    self._samples.append(sample)
            shipper.ship(lambda: not self._stopped.is_set())
        except (RerunMpError, OSError, ValueError, KeyError) as error:
            return str(error)
        return shipper.failure


class _LastShipping:
    """Ships parts at the end of the session, in a thread: a call into a directory of a server that is away hangs."""

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper
        self._begin = self._last_step = time.monotonic()
        self._is_all = False
        self._thread = threading.Thread(target=self._run, name="rerun_mp-last-shipping", daemon=True)
        self._thread.start()

    def wait(self) -> bool:
        """Wait while parts are being shipped, for a bounded time. Returns whether none is left."""
        while self._thread.is_alive() and time.monotonic() < self._last_step + HANG_SECS:
            self._thread.join(self._last_step + HANG_SECS - time.monotonic())
        return self._is_all

    @property
    def failure(self) -> str | None:
        """Why parts are left; None if there was no time for them."""
        return "it does not answer" if self._thread.is_alive() else self._shipper.failure

    def _run(self) -> None:
        with closing(self._shipper):
            self._is_all = self._shipper.ship(self._may_go_on)

    def _may_go_on(self) -> bool:
        """Say whether there is time for the next block. The target asks it after each one."""
        now = time.monotonic()
        is_in_time = now < self._last_step + SHIP_PATIENCE
        self._last_step = now
        return is_in_time and now < self._begin + MAX_SHIP_SECS
