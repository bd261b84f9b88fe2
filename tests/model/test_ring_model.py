"""Producers, ring and collector against a model of lists. Each may die before any store.

All code is the product's: `Producer`, tables, chains, `Sweeper`, the grouping into chunks, the search for dead
producers. It runs in this process, and each model process has a mapping and leases of its own, as a real one has. Only
the store is a dictionary. The invariants I1 to I6 of the design are asserted after every step. At the end of a history
the ring is drained: each logged row is stored once. The only other rows are those of a call in which a producer died,
all or none.
"""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from rerun_mp.collector.drain.chunks import BuiltChunks
from rerun_mp.collector.drain.frame_chunks import build_chunks
from rerun_mp.collector.drain.freeing import SlotFreer
from rerun_mp.collector.drain.sweep import Sweep, Sweeper
from rerun_mp.collector.drain.table_chunks import build_table_chunks
from rerun_mp.collector.reporting.dead_producers import DeadProducers
from rerun_mp.encoding.frames import FrameKind, Rows
from rerun_mp.encoding.ids import RowIds
from rerun_mp.encoding.row_layouts import ValueKind
from rerun_mp.encoding.tables import TableShape
from rerun_mp.errors import RingFullError
from rerun_mp.producer.open_table import TableRow
from rerun_mp.producer.producer import Producer
from rerun_mp.producer.table_slots import Outcome, TableSlots
from rerun_mp.session.accounts import read_accounts
from rerun_mp.settings import Policy
from rerun_mp.shm import kernel, segment
from rerun_mp.shm.doorbell import Ringer
from rerun_mp.shm.layout import LINE_WORDS, TAKEN_BITS, Geometry, Kind, Line, ProducerState, SlotState
from rerun_mp.shm.leases import ForkGuard
from rerun_mp.shm.ring import Ring
from rerun_mp.shm.writer import ForkedError, SlotWriter
from tests.collector.made_frames import RECORDING, SCALARS, scalars_frame
from tests.model.histories import check
from tests.model.mortal import DiedError, Life, attach

GEOMETRY = Geometry(slot_bytes=8192, slots=12, producers=4)
TABLE = TableShape(RECORDING, ValueKind.SCALARS, (), False, (("step", "sequence"),))
LARGE_ROWS = 600
"""Rows of a frame that needs more than one slot."""
MAX_WAITS = 20
"""Sweeps that a producer may wait for: it waits for space only (I6)."""
DEATH = st.one_of(st.none(), st.none(), st.integers(0, 8), st.integers(0, 40))
"""Stores until a process dies, mostly in one of the first calls; None: it lives."""


class Number:
    """Stands in for an archetype of one number that goes into tables."""

    def __init__(self, value: float) -> None:
        self._value = value


class Process:
    """A process that logs."""

    def __init__(self, name: str, made: str, wait: Callable[[int], None]) -> None:
        self.name = name
        self.life = Life()
        self.segment = attach(made, self.life, with_bytes=True)
        self.guard = ForkGuard()
        self.producer = Producer(self.segment, self.guard, Ringer(self.segment.nonce), wait, lambda: None)
        self.returned: list[int] = []
        """Numbers of the rows of calls that have returned."""
        self.unsure: list[int] = []
        """Numbers of the rows of the call in which the process died."""
        self.dropped = 0

    @property
    def owner(self) -> int:
        """The owner that its slots name."""
        return self.producer._registration.owner

    def die(self) -> None:
        """Die as by SIGKILL: the kernel frees the lease, and nothing else happens."""
        self.producer._registration.release()


class Collector:
    """One life of a collector, and its progress."""

    def __init__(self, made: str) -> None:
        self.life = Life()
        self.segment = attach(made, self.life, with_bytes=False)
        self.sweeper = Sweeper(self.segment)
        self.descriptor = self.segment.open()
        self.dead_producers = DeadProducers(self.segment, self.descriptor, self.sweeper)
        self.ahead: tuple[Sweep, BuiltChunks] | None = None
        self.is_fresh = True

    def end(self) -> None:
        """Close what the kernel closes when a collector ends."""
        os.close(self.descriptor)


class RingMachine(RuleBasedStateMachine):
    """A history of one session."""

    living = Bundle("living")

    @initialize(policy=st.sampled_from(Policy))
    def found(self, policy: Policy) -> None:
        """Make a segment."""
        self.directory = Path(tempfile.mkdtemp(prefix="rmp-model-"))
        self.path = f"/dev/shm/rmp-model-{os.getpid()}-{os.urandom(6).hex()}"
        (self.directory / "runtime").mkdir(mode=0o700)
        made = segment.create(
            self.path,
            GEOMETRY,
            os.urandom(16),
            runtime_directory=str(self.directory / "runtime"),
            spool_directory=str(self.directory / "spool"),
            policy=policy,
        )
        assert made is not None
        self.made = made
        self.mapped = [made]
        self.nonce = made.nonce
        self.processes: dict[str, Process] = {}
        self.all_processes: list[Process] = []
        self.collector: Collector | None = None
        self.stored: dict[str, list[tuple[str, int]]] = {}
        """The store: chunk id to (entity, number) of its rows."""
        self.numbers = iter(range(1, 1 << 40))
        self.slots: dict[int, tuple[int, int, int, bytes]] = {}
        """Slot to (epoch, owner, count, bytes below the count) after the step before."""
        self.is_over = False

    # ---- steps -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.processes) < GEOMETRY.producers - 1)
    @rule(target=living)
    def start(self) -> str:
        """Another process joins, as a started worker or a forked child does."""
        process = Process(f"p{len(self.all_processes)}", self.path, self.wait_for_space)
        self.processes[process.name] = process
        self.all_processes.append(process)
        self.mapped.append(process.segment)
        return process.name

    @rule(name=living, rows=st.integers(1, 40), death=DEATH)
    def log_frame(self, name: str, rows: int, death: int | None) -> None:
        """Log rows that no table takes."""
        self.log(name, rows, death)

    @rule(name=living, rows=st.integers(LARGE_ROWS, 2 * LARGE_ROWS), death=DEATH)
    def log_large(self, name: str, rows: int, death: int | None) -> None:
        """Log a frame too large for one slot."""
        self.log(name, rows, death)

    @rule(name=living, rows=st.integers(1, 400), death=st.one_of(st.none(), st.integers(0, 3000)))
    def log_to_a_table(self, name: str, rows: int, death: int | None) -> None:
        """Log numbers, each in a call of its own."""
        process = self.processes.get(name)
        if process is None:
            return
        process.life.left = death

        for number in [next(self.numbers) for _ in range(rows)]:

            def call(number: int = number) -> Outcome:
                row = TableRow(TABLE, name, b"/" + name.encode(), Number(float(number)), {"step": number})
                return process.producer.append_row(row)

            if not self.attempt(process, [number], call):
                return
        process.life.left = None

    @rule(name=living, death=DEATH)
    def seal(self, name: str, death: int | None) -> None:
        """Give all open slots to the collector, as a flush does."""
        process = self.processes.get(name)
        if process is not None:
            process.life.left = death
            if self.attempt(process, [], process.producer.seal):
                process.life.left = None

    @rule(name=living)
    def forked_child_logs(self, name: str) -> None:
        """Let a forked child log: it changes none of its parent's slots, and learns that it needs a producer."""
        process = self.processes.get(name)
        states = {state & 0xFF for state in self.made.ring.states.tolist()}
        if process is None or not states & {SlotState.FREE, SlotState.UNTOUCHED}:
            return  # without space the append would fail earlier
        before = bytes(self.made.ring.memory)
        child = forked_copy(process.producer)
        armed = child._writer.armed
        process.guard.page[armed] = 0  # as the kernel does in a forked child
        try:
            with pytest.raises(ForkedError):
                child.append(frame(name, [0], child))
            child.seal()
        finally:
            process.guard.page[armed] = 1
        assert bytes(self.made.ring.memory) == before

    @rule(name=consumes(living))
    def close(self, name: str) -> None:
        """Close a process's producer, as its end does."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.producer.close()

    @rule(name=consumes(living))
    def kill(self, name: str) -> None:
        """Kill a process between two calls."""
        if name in self.processes:
            self.reap(self.processes[name])

    @rule(death=st.one_of(st.none(), st.none(), st.integers(0, 120)), looks_ahead=st.booleans())
    def sweep(self, death: int | None, looks_ahead: bool) -> None:
        """Let the collector sweep once, or die while it does."""
        self.collect(death, looks_ahead=looks_ahead)

    @rule(rows=st.sampled_from((1, 3, LARGE_ROWS)), sweeps=st.integers(0, 2), death=st.integers(0, 30))
    def collector_dies(self, rows: int, sweeps: int, death: int) -> None:
        """Kill the collector at work: a process logs, the collector sweeps, the process logs again."""
        if not self.processes:
            self.start()
        name = next(iter(self.processes))
        for _ in range(sweeps):
            self.log(name, 1, None)
            self.collect(None, looks_ahead=False)
        self.log(name, rows, None)
        self.collect(death, looks_ahead=False)

    @rule()
    def replace_collector(self) -> None:
        """Kill the collector between two sweeps."""
        self.reap_collector()

    # ---- how a step runs ---------------------------------------------------------------------------------------------

    def log(self, name: str, rows: int, death: int | None) -> None:
        """Log a frame of `rows` rows."""
        process = self.processes.get(name)
        if process is None:
            return
        numbers = [next(self.numbers) for _ in range(rows)]
        process.life.left = death
        row = frame(name, numbers, process.producer)
        if self.attempt(process, numbers, lambda: process.producer.append(row)):
            process.life.left = None

    def attempt(self, process: Process, numbers: list[int], call: Callable[[], Any]) -> bool:
        """Make a call, and note the outcome for its rows. False: the process died in the call."""
        try:
            outcome = call()
        except DiedError:
            process.unsure = numbers
            self.reap(process)
            return False
        except RingFullError:
            return True
        if outcome is False or outcome is Outcome.DROPPED:
            process.dropped += len(numbers)
        else:
            assert outcome in (None, True, Outcome.COMMITTED)
            process.returned += numbers
            self.assert_below_count(process, len(numbers))
        return True

    def reap(self, process: Process) -> None:
        process.die()
        del self.processes[process.name]

    def reap_collector(self) -> None:
        if self.collector is not None:
            self.collector.end()
            self.collector = None

    def wait_for_space(self, attempt: int) -> None:
        """Let the collector sweep, as a producer does while the ring is full."""
        assert attempt < MAX_WAITS, "I6: no slot is free although the collector has swept"
        self.collect(None, looks_ahead=False)

    def collect(self, death: int | None, *, looks_ahead: bool) -> bool:
        """Sweep once. Returns whether there was any work."""
        if self.collector is None:
            self.collector = Collector(self.path)
            self.mapped.append(self.collector.segment)
        collector = self.collector
        collector.life.left = death
        try:
            found = self.sweep_once(collector, looks_ahead=looks_ahead)
        except DiedError:
            self.reap_collector()
            return True
        collector.life.left = None
        if not found:
            kinds = [self.made.ring.words[GEOMETRY.line_word(slot) + Line.KIND] for slot in range(GEOMETRY.slots)]
            states = [state & 0xFF for state in self.made.ring.states.tolist()]
            assert (Kind.PART, SlotState.OPEN) not in zip(kinds, states, strict=True), "a part of a chain is left"
        return found

    def sweep_once(self, collector: Collector, *, looks_ahead: bool) -> bool:
        """Do what `worker.Worker.run` does in one turn. False: no row was there, and none is left."""
        sweeper = collector.sweeper
        resumes = collector.is_fresh
        if resumes:
            prepared = self.prepare(sweeper.collect(resume=True))
            collector.is_fresh = False
        else:
            prepared = collector.ahead or self.prepare(sweeper.collect())
        collector.ahead = None
        if prepared is not None:
            sweep, built = prepared
            sweeper.begin(sweep)
            if looks_ahead:
                collector.ahead = self.prepare(sweeper.collect(after=sweep))
            collector.life.spend()  # chunks that were sent and not flushed are lost with the writer
            self.flush(built)
            sweeper.complete(sweep, built)
        collector.dead_producers.clear_up()
        sweeper.freer.free_done()
        return resumes or prepared is not None  # a resuming collector has not looked for new rows

    def prepare(self, sweep: Sweep | None) -> tuple[Sweep, BuiltChunks] | None:
        """Build the chunks of a sweep."""
        if sweep is None:
            return None
        frames = build_chunks(sweep.taken, nonce=self.nonce)
        tables = build_table_chunks(sweep.rows, nonce=self.nonce)
        assert not frames.damaged_rows
        assert not tables.damaged_rows
        assert not sweep.given_up
        return sweep, BuiltChunks(frames.chunks + tables.chunks, frames.good_rows + tables.good_rows, Counter())

    def flush(self, built: BuiltChunks) -> None:
        """Store chunks. A chunk that is stored already must be equal."""
        for chunk in built.chunks:
            steps = chunk.batch.column("step").to_pylist()
            rows = [(chunk.entity_path, step) for step in steps]
            assert self.stored.setdefault(chunk.chunk_id, rows) == rows, "one chunk id stands for two contents"

    # ---- invariants after every step ---------------------------------------------------------------------------------

    def assert_below_count(self, process: Process, rows: int) -> None:
        """I4: the rows of a returned call are below a count or stored."""
        stored = sum(len(chunk) for chunk in self.stored.values())
        assert self.committed() + stored >= rows
        assert process.producer.is_intact

    def committed(self) -> int:
        """Count the rows below the counts of all slots."""
        ring = self.made.ring
        rows = 0
        for slot in range(GEOMETRY.slots):
            line = GEOMETRY.line_word(slot)
            is_table = ring.words[line + Line.KIND] == Kind.TABLE
            rows += ring.words[line + (Line.COUNT if is_table else Line.ROWS)]
        return rows

    @invariant()
    def words_are_sound(self) -> None:
        """I1, I2, I3 and I5 hold for every slot, compared with the step before."""
        ring = self.made.ring
        now = {}
        owners = {process.owner for process in self.all_processes}
        for slot in range(GEOMETRY.slots):
            line = GEOMETRY.line_word(slot)
            state, count, epoch, a, b, kind, *_ = ring.words[line : line + LINE_WORDS]
            owner, what = state & ~0xFF, state & 0xFF
            if what in (SlotState.FREE, SlotState.UNTOUCHED):
                assert not owner
                continue
            # I5: only a registered producer owns a slot.
            assert owner in owners
            assert what in (SlotState.OPEN, SlotState.SEALED, SlotState.ABANDONED)
            capacity = 1 if kind == Kind.HEAD else GEOMETRY.slot_bytes
            done, taken = ring.done(slot), max(a & (1 << 28) - 1, b & (1 << 28) - 1)
            # A collector clears the count first when it frees a slot, and may have died after that.
            assert not count or done <= taken <= count <= capacity, "I3"
            begin = GEOMETRY.slot_offset(slot)
            below = (
                b"" if kind in (Kind.HEAD, Kind.PART) else bytes(ring.memory[begin : begin + self.used(slot, count)])
            )
            before = self.slots.get(slot)
            if before is not None and before[0] == epoch:
                assert before[1] == owner, "I5: the owner changed within an epoch"
                assert count >= before[2], "I3: the count fell within an epoch"
                if kind == Kind.FRAMES:
                    assert below.startswith(before[3]), "I2: bytes below the count changed"
            now[slot] = (epoch, owner, count, below)
        self.slots = now

    def used(self, slot: int, count: int) -> int:
        """Return how many bytes at the beginning of a slot its count covers: 0 unless it holds frames."""
        is_frames = self.made.ring.words[GEOMETRY.line_word(slot) + Line.KIND] == Kind.FRAMES
        return count if is_frames else 0

    @invariant()
    def no_row_is_stored_twice(self) -> None:
        """No row is in two chunks."""
        rows = [row for chunk in self.stored.values() for row in chunk]
        assert len(set(rows)) == len(rows)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Drain the ring, compare, and remove the segment."""
        if not hasattr(self, "made"):
            return
        try:
            self.end()
        finally:
            self.reap_collector()
            for process in self.processes.values():
                process.die()
            if self.made.participants is not None:
                self.made.participants.release()
            os.unlink(self.path)
            shutil.rmtree(self.directory)
            for joined in self.mapped:
                # The product never unmaps, because a thread may still read. Here no thread does.
                kernel.unmap(joined._address, GEOMETRY.total_bytes)

    def end(self) -> None:
        """Close half of the living processes, kill the others, drain the ring, and compare."""
        for number, process in enumerate(list(self.processes.values())):
            if number % 2:
                self.reap(process)
            else:
                del self.processes[process.name]
                process.producer.close()
        for _ in range(MAX_WAITS):
            if not self.collect(None, looks_ahead=False) and not self.made.ring.pending():
                break
        self.collect(None, looks_ahead=False)
        states = {state & 0xFF for state in self.made.ring.states.tolist()}
        assert states <= {SlotState.FREE, SlotState.UNTOUCHED}, "a slot is not free"
        entries = [self.made.ring.words[GEOMETRY.producer_word(index)] & 0xFF for index in range(GEOMETRY.producers)]
        assert set(entries) == {ProducerState.FREE}, "an entry of the producers table is not free"
        found = Counter(row for chunk in self.stored.values() for row in chunk)
        for process in self.all_processes:
            name = "/" + process.name
            rows = {step for entity, step in found if entity == name}
            assert set(process.returned) <= rows, "P2: a row that returned is missing"
            others = rows - set(process.returned)
            assert others in (set(), set(process.unsure)), "a part of an interrupted call is stored"
        assert all(number == 1 for number in found.values()), "P5: a row is stored twice"
        accounts = read_accounts(self.made)
        assert sum(account.delivered for account in accounts) == len(found)
        assert sum(account.dropped for account in accounts) == sum(process.dropped for process in self.all_processes)


def forked_copy(producer: Producer) -> Producer:
    """Return the copy of a producer that a forked child has: its own objects, over the same memory."""
    names = ("_ring", "_words", "_writer", "_registration", "_ringer", "_wait_for_space", "_watch_collector")
    shared = [getattr(producer, name) for name in names] + [producer._claims._segment]
    memo: dict[int, object] = {id(one): one for one in shared} | {id(producer._mutex): threading.RLock()}
    # Views cannot be copied; what a child's tables do is tested in tests/producer.
    memo[id(producer._tables)] = TableSlots(producer._writer, producer._claims, RowIds(), lambda: None)
    # Nor can the counter of row ids, from Python 3.14 on.
    memo[id(producer._row_ids)] = RowIds()
    return copy.deepcopy(producer, memo)


def frame(name: str, numbers: list[int], producer: Producer) -> Rows:
    """Return a frame of one row for each number. The number is the row's `step`."""
    made = scalars_frame([float(number) for number in numbers], row_id=producer._row_ids.mint(len(numbers)))
    body = bytes(made.body)
    return Rows(SCALARS, b"/" + name.encode(), (body,), len(body), len(numbers), FrameKind.ROWS)


def test_every_history_delivers_each_returned_row_once() -> None:
    """Producers and collectors die before random stores."""
    check(RingMachine, examples=60, steps=30)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_histories_deliver_each_returned_row_once() -> None:
    """Producers and collectors die before random stores."""
    check(RingMachine, examples=3000, steps=60)


def take_in_one_word(ring: Ring, slot: int, sweep: int, taken: int) -> None:
    """Replace `Ring.take`: always overwrite the same word."""
    ring.words[ring.geometry.line_word(slot) + Line.TAKEN_A] = sweep << TAKEN_BITS | taken


def free_within_the_epoch(ring: Ring, slot: int) -> None:
    """Replace `Ring.free`: leave the epoch as it is."""
    line = ring.geometry.line_word(slot)
    for word in (Line.COUNT, Line.TAKEN_A, Line.TAKEN_B, Line.ROWS):
        ring.words[line + word] = 0
    ring.states[slot] = SlotState.FREE


def free_in_place(freer: SlotFreer, slot: int) -> None:
    """Replace `SlotFreer._free_part`: do not abandon the part first."""
    freer._free(slot)


def commit_first(writer: SlotWriter, slot: int, at: int, pieces: Any, count: int, rows: int = 0) -> None:
    """Replace `SlotWriter.write`: store the count before the bytes that it covers."""
    writer.commit(slot, count, rows)
    writer.scatter((slot,), pieces, at)


def seal_unasked(writer: SlotWriter, slot: int) -> None:
    """Replace `SlotWriter.seal`: seal the slot even in a forked child."""
    writer.ring.states[slot] = writer.owner | SlotState.SEALED


def collect_anew(sweeper: Sweeper, *, resume: bool = False, after: Sweep | None = None) -> Sweep | None:
    """Replace `Sweeper.collect`: do not repeat a dead collector's sweep, but make a new one."""
    return collect(sweeper, after=after)


collect = Sweeper.collect


@pytest.mark.parametrize(
    ("where", "name", "instead"),
    [
        (Ring, "take", take_in_one_word),
        (Ring, "free", free_within_the_epoch),
        (SlotFreer, "_free_part", free_in_place),
        (Sweeper, "collect", collect_anew),
        (SlotWriter, "write", commit_first),
        (SlotWriter, "seal", seal_unasked),
    ],
)
def test_the_model_finds_the_fault_when_a_guard_is_removed(
    where: type, name: str, instead: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds a history that loses, doubles or tears rows, mostly among the first fifty."""
    monkeypatch.setattr(where, name, instead)
    with pytest.raises((AssertionError, ExceptionGroup)) as found:
        check(RingMachine, examples=1500, steps=60, is_shrunk=False)
    assert "AssertionError" in repr(found.value), found.value
