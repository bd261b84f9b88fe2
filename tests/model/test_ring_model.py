"""Producers, ring and collector against a model of lists, with the death of anybody before any store.

Everything is the product's: `Producer`, tables, chains, `Sweeper`, the grouping into chunks, the look at who has died.
They run in this process, each with a mapping and with leases of its own, as processes have; only the store is a
dictionary. After every step I1 to I6 of the design are asserted, and when a history is over everything is drained:
what was logged is there once, and nothing else but the row that somebody was writing when he died, whole.
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
from rerun_mp.encoding.row_layouts import ValueKind
from rerun_mp.encoding.tables import TableShape
from rerun_mp.errors import RingFullError
from rerun_mp.producer.open_table import TableRow
from rerun_mp.producer.producer import Producer
from rerun_mp.producer.table_slots import Outcome
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
"""Of a frame over more than one slot."""
MAX_WAITS = 20
"""Sweeps for which a writer may wait: it waits for space and for nothing else (I6)."""
DEATH = st.one_of(st.none(), st.none(), st.integers(0, 40))
"""After how many stores somebody dies; None: he lives."""


class Number:
    """Stands for an archetype of one number, as tables take it."""

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
        """Those of the call in the middle of which it died."""
        self.dropped = 0

    @property
    def owner(self) -> int:
        """How slots name it."""
        return self.producer._registration.owner

    def die(self) -> None:
        """Be killed: the kernel frees the lease, and nothing else happens."""
        self.producer._registration.release()


class Collector:
    """One life of a collector, and how far it has got."""

    def __init__(self, made: str) -> None:
        self.life = Life()
        self.segment = attach(made, self.life, with_bytes=False)
        self.sweeper = Sweeper(self.segment)
        self.descriptor = self.segment.open()
        self.dead_producers = DeadProducers(self.segment, self.descriptor, self.sweeper)
        self.ahead: tuple[Sweep, BuiltChunks] | None = None
        self.is_fresh = True

    def end(self) -> None:
        """Have ended, by death or otherwise."""
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
        self.everybody: list[Process] = []
        self.collector: Collector | None = None
        self.stored: dict[str, list[tuple[str, int]]] = {}
        """What a reader has: chunk id -> (entity, number) of its rows."""
        self.numbers = iter(range(1, 1 << 40))
        self.slots: dict[int, tuple[int, int, int, bytes]] = {}
        """Slot -> (epoch, owner, count, bytes below it) when last looked at."""
        self.is_over = False

    # ---- what may happen ---------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.processes) < GEOMETRY.producers - 1)
    @rule(target=living)
    def start(self) -> str:
        """Have another process join: a worker that was started, or a child after a fork."""
        process = Process(f"p{len(self.everybody)}", self.path, self.wait_for_space)
        self.processes[process.name] = process
        self.everybody.append(process)
        self.mapped.append(process.segment)
        return process.name

    @rule(name=living, rows=st.integers(1, 40), death=DEATH)
    def log_frame(self, name: str, rows: int, death: int | None) -> None:
        """Log rows that no table takes."""
        self.log(name, rows, death)

    @rule(name=living, rows=st.integers(LARGE_ROWS, 2 * LARGE_ROWS), death=DEATH)
    def log_large(self, name: str, rows: int, death: int | None) -> None:
        """Log what no slot holds."""
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
        """Give everything open to the collector, as a flush does."""
        process = self.processes.get(name)
        if process is not None:
            process.life.left = death
            if self.attempt(process, [], process.producer.seal):
                process.life.left = None

    @rule(name=living)
    def forked_child_logs(self, name: str) -> None:
        """Have a child touch nothing that is its parent's, and say that it needs a producer of its own."""
        process = self.processes.get(name)
        states = {state & 0xFF for state in self.made.ring.states.tolist()}
        if process is None or not states & {SlotState.FREE, SlotState.UNTOUCHED}:
            return  # without space it would not get so far
        before = bytes(self.made.ring.memory)
        child = forked_copy(process.producer)
        armed = child._writer.armed
        process.guard.page[armed] = 0  # what the kernel does to the child's page
        try:
            with pytest.raises(ForkedError):
                child.append(frame(name, [0], child))
            child.seal()
        finally:
            process.guard.page[armed] = 1
        assert bytes(self.made.ring.memory) == before

    @rule(name=consumes(living))
    def close(self, name: str) -> None:
        """End a process in good order."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.producer.close()

    @rule(name=consumes(living))
    def kill(self, name: str) -> None:
        """Kill a process between two calls."""
        if name in self.processes:
            self.bury(self.processes[name])

    @rule(death=st.one_of(st.none(), st.none(), st.integers(0, 120)), looks_ahead=st.booleans())
    def sweep(self, death: int | None, looks_ahead: bool) -> None:
        """Have the collector sweep once, or as far as it gets."""
        self.collect(death, looks_ahead=looks_ahead)

    @rule(rows=st.sampled_from((1, 3, LARGE_ROWS)), sweeps=st.integers(0, 2), death=st.integers(0, 30))
    def collector_dies(self, rows: int, sweeps: int, death: int) -> None:
        """Have the collector die in the middle of something: somebody logs, it sweeps, he logs more, it dies."""
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
        self.bury_collector()

    # ---- how it happens ----------------------------------------------------------------------------------------------

    def log(self, name: str, rows: int, death: int | None) -> None:
        """Log a frame of so many rows."""
        process = self.processes.get(name)
        if process is None:
            return
        numbers = [next(self.numbers) for _ in range(rows)]
        process.life.left = death
        row = frame(name, numbers, process.producer)
        if self.attempt(process, numbers, lambda: process.producer.append(row)):
            process.life.left = None

    def attempt(self, process: Process, numbers: list[int], call: Callable[[], Any]) -> bool:
        """Make a call, and take note of what became of its rows. False: the process has died in it."""
        try:
            outcome = call()
        except DiedError:
            process.unsure = numbers
            self.bury(process)
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

    def bury(self, process: Process) -> None:
        process.die()
        del self.processes[process.name]

    def bury_collector(self) -> None:
        if self.collector is not None:
            self.collector.end()
            self.collector = None

    def wait_for_space(self, attempt: int) -> None:
        """Let the collector work, as a writer does while the ring is full."""
        assert attempt < MAX_WAITS, "I6: space does not come, though the collector has swept"
        self.collect(None, looks_ahead=False)

    def collect(self, death: int | None, *, looks_ahead: bool) -> bool:
        """Sweep once. True if there was anything."""
        if self.collector is None:
            self.collector = Collector(self.path)
            self.mapped.append(self.collector.segment)
        collector = self.collector
        collector.life.left = death
        try:
            found = self.sweep_once(collector, looks_ahead=looks_ahead)
        except DiedError:
            self.bury_collector()
            return True
        collector.life.left = None
        if not found:
            kinds = [self.made.ring.words[GEOMETRY.line_word(slot) + Line.KIND] for slot in range(GEOMETRY.slots)]
            states = [state & 0xFF for state in self.made.ring.states.tolist()]
            assert (Kind.PART, SlotState.OPEN) not in zip(kinds, states, strict=True), "a part is left of a chain"
        return found

    def sweep_once(self, collector: Collector, *, looks_ahead: bool) -> bool:
        """Do what `worker.Worker.run` does in one turn. False: there was nothing, and is nothing."""
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
            collector.life.spend()  # what was handed over and not flushed is lost with its writer
            self.flush(built)
            sweeper.complete(sweep, built)
        collector.dead_producers.clear_up()
        sweeper.freer.free_done()
        return resumes or prepared is not None  # who resumes has not looked for what is new

    def prepare(self, sweep: Sweep | None) -> tuple[Sweep, BuiltChunks] | None:
        """Group what a sweep took."""
        if sweep is None:
            return None
        frames = build_chunks(sweep.taken, nonce=self.nonce)
        tables = build_table_chunks(sweep.rows, nonce=self.nonce)
        assert not frames.damaged_rows
        assert not tables.damaged_rows
        assert not sweep.given_up
        return sweep, BuiltChunks(frames.chunks + tables.chunks, frames.good_rows + tables.good_rows, Counter())

    def flush(self, built: BuiltChunks) -> None:
        """Have the chunks in the store. One that is there already is the same."""
        for chunk in built.chunks:
            steps = chunk.batch.column("step").to_pylist()
            rows = [(chunk.entity_path, step) for step in steps]
            assert self.stored.setdefault(chunk.chunk_id, rows) == rows, "one chunk id, two contents"

    # ---- what must hold after every step -----------------------------------------------------------------------------

    def assert_below_count(self, process: Process, rows: int) -> None:
        """I4: a call that returned has its rows below a count, or in the store already."""
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
        """I1, I2, I3 and I5 for every slot, compared with how it was after the step before."""
        ring = self.made.ring
        now = {}
        owners = {process.owner for process in self.everybody}
        for slot in range(GEOMETRY.slots):
            line = GEOMETRY.line_word(slot)
            state, count, epoch, a, b, kind, *_ = ring.words[line : line + LINE_WORDS]
            owner, what = state & ~0xFF, state & 0xFF
            if what in (SlotState.FREE, SlotState.UNTOUCHED):
                assert not owner
                continue
            # I5: whoever owns a slot has registered; nobody else has ever been written there.
            assert owner in owners
            assert what in (SlotState.OPEN, SlotState.SEALED, SlotState.ABANDONED)
            capacity = 1 if kind == Kind.HEAD else GEOMETRY.slot_bytes
            done, taken = ring.done(slot), max(a & (1 << 28) - 1, b & (1 << 28) - 1)
            # A collector that died while it freed the slot has cleared the count first.
            assert not count or done <= taken <= count <= capacity, "I3"
            begin = GEOMETRY.slot_offset(slot)
            below = (
                b"" if kind in (Kind.HEAD, Kind.PART) else bytes(ring.memory[begin : begin + self.used(slot, count)])
            )
            before = self.slots.get(slot)
            if before is not None and before[0] == epoch:
                assert before[1] == owner, "I5: another owner without another epoch"
                assert count >= before[2], "I3: the count only grows"
                if kind == Kind.FRAMES:
                    assert below.startswith(before[3]), "I2: bytes below the count have changed"
            now[slot] = (epoch, owner, count, below)
        self.slots = now

    def used(self, slot: int, count: int) -> int:
        """Return how many bytes at the beginning of a slot are below its count."""
        is_frames = self.made.ring.words[GEOMETRY.line_word(slot) + Line.KIND] == Kind.FRAMES
        return count if is_frames else 0

    @invariant()
    def nothing_is_there_twice(self) -> None:
        """No row is in two chunks."""
        rows = [row for chunk in self.stored.values() for row in chunk]
        assert len(set(rows)) == len(rows)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Drain everything and compare."""
        if not hasattr(self, "made"):
            return
        try:
            self.end()
        finally:
            self.bury_collector()
            for process in self.processes.values():
                process.die()
            if self.made.participants is not None:
                self.made.participants.release()
            os.unlink(self.path)
            shutil.rmtree(self.directory)
            for joined in self.mapped:
                # The product never does, because somebody may look; here nobody does any more.
                kernel.unmap(joined._address, GEOMETRY.total_bytes)

    def end(self) -> None:
        """Half of those who live end in good order, the others are killed; then all is drained."""
        for number, process in enumerate(list(self.processes.values())):
            if number % 2:
                self.bury(process)
            else:
                del self.processes[process.name]
                process.producer.close()
        for _ in range(MAX_WAITS):
            if not self.collect(None, looks_ahead=False) and not self.made.ring.pending():
                break
        self.collect(None, looks_ahead=False)
        states = {state & 0xFF for state in self.made.ring.states.tolist()}
        assert states <= {SlotState.FREE, SlotState.UNTOUCHED}, "a slot is left"
        entries = [self.made.ring.words[GEOMETRY.producer_word(index)] & 0xFF for index in range(GEOMETRY.producers)]
        assert set(entries) == {ProducerState.FREE}, "an entry is left"
        found = Counter(row for chunk in self.stored.values() for row in chunk)
        for process in self.everybody:
            name = "/" + process.name
            rows = {step for entity, step in found if entity == name}
            assert set(process.returned) <= rows, "P2: a row that returned is missing"
            others = rows - set(process.returned)
            assert others in (set(), set(process.unsure)), "a row that did not return is there, and not whole"
        assert all(number == 1 for number in found.values()), "P5: a row is there twice"
        accounts = read_accounts(self.made)
        assert sum(account.delivered for account in accounts) == len(found)
        assert sum(account.dropped for account in accounts) == sum(process.dropped for process in self.everybody)


def forked_copy(producer: Producer) -> Producer:
    """Return the copy of a producer that a forked child has: its own objects, over the same memory."""
    names = ("_ring", "_words", "_writer", "_registration", "_ringer", "_wait_for_space", "_watch_collector")
    shared = [getattr(producer, name) for name in names] + [producer._claims._segment]
    memo: dict[int, object] = {id(one): one for one in shared} | {id(producer._mutex): threading.RLock()}
    return copy.deepcopy(producer, memo)


def frame(name: str, numbers: list[int], producer: Producer) -> Rows:
    """Return rows whose `step` are these numbers."""
    made = scalars_frame([float(number) for number in numbers], row_id=producer._row_ids.mint(len(numbers)))
    body = bytes(made.body)
    return Rows(SCALARS, b"/" + name.encode(), (body,), len(body), len(numbers), FrameKind.ROWS)


def test_every_history_delivers_what_returned_once() -> None:
    """Whoever dies, before whatever store."""
    check(RingMachine, examples=40, steps=30)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_histories_deliver_what_returned_once() -> None:
    """Whoever dies, before whatever store."""
    check(RingMachine, examples=3000, steps=60)


def take_in_one_word(ring: Ring, slot: int, sweep: int, taken: int) -> None:
    """Instead of `Ring.take`: always over the same word."""
    ring.words[ring.geometry.line_word(slot) + Line.TAKEN_A] = sweep << TAKEN_BITS | taken


def free_within_the_epoch(ring: Ring, slot: int) -> None:
    """Instead of `Ring.free`: the epoch stays."""
    line = ring.geometry.line_word(slot)
    for word in (Line.COUNT, Line.TAKEN_A, Line.TAKEN_B, Line.ROWS):
        ring.words[line + word] = 0
    ring.states[slot] = SlotState.FREE


def free_in_place(freer: SlotFreer, slot: int) -> None:
    """Instead of `SlotFreer._free_part`: the part is not let go of first."""
    freer._free(slot)


def commit_first(writer: SlotWriter, slot: int, at: int, pieces: Any, count: int, rows: int = 0) -> None:
    """Instead of `SlotWriter.write`: the count comes before what it counts."""
    writer.commit(slot, count, rows)
    writer.scatter((slot,), pieces, at)


def seal_unasked(writer: SlotWriter, slot: int) -> None:
    """Instead of `SlotWriter.seal`: a child seals its parent's slot."""
    writer.ring.states[slot] = writer.owner | SlotState.SEALED


def collect_anew(sweeper: Sweeper, *, resume: bool = False, after: Sweep | None = None) -> Sweep | None:
    """Instead of `Sweeper.collect`: a dead collector's sweep is not repeated, but made anew."""
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
def test_a_guard_that_is_taken_out_is_missed(
    where: type, name: str, instead: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine finds a history that loses, doubles or tears something, most often among the first fifty."""
    monkeypatch.setattr(where, name, instead)
    with pytest.raises((AssertionError, ExceptionGroup)) as found:
        check(RingMachine, examples=1500, steps=60, is_shrunk=False)
    assert "AssertionError" in repr(found.value), found.value
