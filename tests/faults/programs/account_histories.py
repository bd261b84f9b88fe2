"""Histories of sessions: processes log and die, their collector's workers die between two steps, and the numbers hold.

Usage: account_histories.py DIRECTORY FIRST NUMBER [full]. Tries the histories that follow from the seeds FIRST to
FIRST + NUMBER - 1, and prints a line for each. A child founds the session and does what this process tells it. This
process takes no part: it runs the workers in forked children, kills them at chosen points, and compares the numbers
that users see with those of the calls. Where something differs, the program prints it and ends with 1. `full`: disks
are full at some moments, too. One history in some 200 then counts rows as dropped that are stored: the first copy of a
repeated sweep's chunk had no room.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import rerun_mp as rr
from rerun_mp.collector import ending, worker
from rerun_mp.collector.drain.freeing import SlotFreer
from rerun_mp.collector.drain.sweep import Sweeper
from rerun_mp.collector.outputs import Outputs
from rerun_mp.collector.reporting import dead_producers
from rerun_mp.collector.reporting.loss_reports import LossReports
from rerun_mp.collector.store import disks, spool
from rerun_mp.collector.store.held_counts import HeldCounts
from rerun_mp.collector.store.journal import Journal
from rerun_mp.monitoring.overview import SessionView, look_at
from rerun_mp.session import collector_start, refused_rows
from rerun_mp.session.accounts import published_totals
from rerun_mp.session.final_report import FILE_MARK, open_final_report, read_final_report
from rerun_mp.shm.layout import Header, SessionState
from rerun_mp.shm.ring import Ring
from rerun_mp.shm.segment import Segment, attach
from rerun_mp.shm.survey import header_at
from tests.faults.programs.turns import joined_session
from tests.harness.instructions import at_instruction
from tests.harness.recordings import rows_of
from tests.harness.rerun_names import RrdReader

PATIENCE_SECS = 60.0
RING_BYTES = 512 << 10
"""8 slots of 64 KiB."""
LARGE_TEXT = "x" * 20_000
MAX_INSTRUCTION = 400_000
DEAD_URL = "rerun+http://127.0.0.1:9/proxy"
"""Nothing listens there."""
POINTS: dict[str, tuple[Any, str, bool]] = {
    "sweep begun": (Sweeper, "begin", True),
    "sweep handed to stores": (Outputs, "store", True),
    "sweep flushed": (Outputs, "flush", True),
    "drops saved": (LossReports, "save_store_drops", True),
    "one total stored": (Ring, "add_total", True),
    "sweep done": (Sweeper, "complete", True),
    "slots about to be freed": (SlotFreer, "free_done", False),
    "account about to be written": (dead_producers, "append_account", False),
    "account written": (dead_producers, "append_account", True),
    "journal about to be saved": (Journal, "save", False),
    "journal saved": (Journal, "save", True),
    "held rows saved": (HeldCounts, "write", True),
    "file placed": (Journal, "place", True),
    "losses reported": (LossReports, "report", True),
    "final report written": (ending, "write_final_report", True),
}
"""Name -> (owner of a function, its name, whether the worker dies after the call, and not before it)."""


class Difference(Exception):  # noqa: N818 (a finding, not an error)
    """A number that is wrong."""


def die(_: FrameType | None = None) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


# ---- the processes that log ----------------------------------------------------------------------------------------


def log_rows(numbers: range, kind: str, recording: rr.RecordingStream | None = None) -> int:
    """Log a row of each number, and return how many rows were logged: a call may return although it refuses its row."""
    refused = sum(refused_rows.by_cause().values())
    for number in numbers:
        rr.set_time("n", sequence=number, recording=recording)
        if kind == "large":
            rr.log("large", rr.TextLog(LARGE_TEXT))
        elif kind == "text":
            rr.log(f"text/{number % 2}", rr.TextLog(str(number)))
        elif kind == "static":
            rr.log(f"static/{number}", rr.Scalars(float(number)), static=True)
        else:
            rr.log(f"number/{number % 3}", rr.Scalars(float(number)), recording=recording)
    return len(numbers) + refused - sum(refused_rows.by_cause().values())


def in_child(order: dict[str, Any]) -> dict[str, int]:
    """Log in a forked child that then ends as ordered. Returns its pid, the calls that returned, and those unsure."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(PATIENCE_SECS))
        if order["file"]:
            rr.save(order["file"])
        start, count = order["start"], order["count"]
        returned = log_rows(range(start, start + count), order["kind"])
        os.write(writer, b"%d " % returned)
        if order["end"] == "within a call":
            with at_instruction(order["instruction"], die):
                last = log_rows(range(start + count, start + count + 1), order["kind"])
            os.write(writer, b"%d " % (returned + last))
        if order["end"] == "kill":
            die()
        if order["end"] == "exit":
            sys.exit()
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with open(reader, "rb") as pipe:
        said = [int(number) for number in pipe.read().split()]
    return {"pid": pid, "returned": max(said, default=0), "unsure": int(order["end"] == "within a call")}


def serve_orders(orders: int, replies: int) -> None:
    """Found a session, and do what the orders say until there are no more."""
    vars(collector_start)["ensure_collector"] = lambda *_, **__: None
    rr.init("rerun_mp_accounts")
    segment = joined_session().segment
    beside = rr.RecordingStream("rerun_mp_accounts_beside", recording_id="beside")
    os.write(replies, json.dumps([segment.path, segment.nonce.hex()]).encode() + b"\n")
    for line in os.fdopen(orders, "rb"):
        order = json.loads(line)
        answer: Any = None
        if order["do"] == "log":
            answer = log_rows(range(order["start"], order["start"] + order["count"]), order["kind"])
        elif order["do"] == "child":
            answer = in_child(order)
        elif order["do"] == "sinks":
            rules = [rr.Rule(path="number/0", every=3), rr.Rule(path="text/**", off=True)] if order["rules"] else ()
            sinks: list[Any] = [rr.FileSink(order["file"], rules=rules)] if order["file"] else []
            sinks += [rr.GrpcSink(order["url"])] if order["url"] else []
            if sinks:
                rr.set_sinks(*sinks)
            else:
                rr.disconnect()
        elif order["do"] == "beside":
            if order["file"]:
                beside.save(order["file"])
            answer = log_rows(range(order["count"]), "beside", beside)
        elif order["do"] == "flush":
            rr.flush()
        os.write(replies, json.dumps(answer).encode() + b"\n")


# ---- one history ---------------------------------------------------------------------------------------------------


class History:
    """A session, its processes, and what they have logged."""

    def __init__(self, directory: Path, seed: int, *, fills_disks: bool) -> None:
        self.rng = random.Random(seed)
        self.fills_disks = fills_disks
        self.directory = directory / str(seed)
        self.directory.mkdir()
        self.log: list[str] = []
        self.number = 0
        self.returned: Counter[int] = Counter()
        """Process -> calls that have returned."""
        self.unsure: Counter[int] = Counter()
        """Process -> calls that may or may not have left a row."""
        self.has_beside = False
        self.files: list[str] = []
        """Files that the founder has set, in turn."""
        self.has_file = False
        self.worker: int | None = None
        self.is_ordering = False
        """Whether the founder has not answered an order yet, so that the number of its calls is unknown."""
        self.before: dict[int, tuple[int, ...]] = {}
        self.has_rules = self.rng.random() < 0.4
        self.policy = self.rng.choice(["block", "block", "drop"])
        os.environ["RERUN_MP_RING_BYTES"] = str(RING_BYTES)
        os.environ["RERUN_MP_SLOT_BYTES"] = str(64 << 10)
        os.environ["RERUN_MP_PRODUCERS"] = str(self.rng.choice([3, 8]))
        os.environ["RERUN_MP_POLICY"] = self.policy
        os.environ["RERUN_MP_SPOOL_BYTES"] = str(self.rng.choice([200_000, 1 << 30]))
        orders, self.orders = os.pipe()
        self.replies, replies = os.pipe()
        self.founder = os.fork()
        if self.founder == 0:
            os.setsid()
            os.close(self.orders)
            os.close(self.replies)
            os.dup2(os.open(self.directory / "founder.log", os.O_WRONLY | os.O_CREAT), 2)
            serve_orders(orders, replies)
            sys.exit()
        os.close(orders)
        os.close(replies)
        self.path, self.nonce = self._read_reply()
        joined = attach(self.path, participate=False)
        assert joined is not None
        self.segment: Segment = joined
        self.report = open_final_report(self.segment)

    # Workers

    def start_worker(self, point: str | None, nth: int = 1) -> None:
        """Run a worker that dies at a point, at the nth time."""
        assert self.worker is None
        self.log.append(f"worker, dies at {point} {nth}")
        self.worker = os.fork()
        if self.worker == 0:
            os.dup2(os.open(self.directory / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            signal.alarm(int(PATIENCE_SECS))
            vars(collector_start)["ensure_collector"] = lambda *_, **__: None
            vars(ending)["LIVE_PATIENCE"] = 0.02
            vars(spool)["MIN_PART_BYTES"] = 10_000
            if point == "instruction":
                with at_instruction(nth, die):
                    os._exit(worker.main(self.path, self.nonce))
            if point == "full disk":
                fill_disk(nth)
            elif point is not None:
                owner, name, after = POINTS[point]
                setattr(owner, name, deadly(getattr(owner, name), nth, after=after))
            os._exit(worker.main(self.path, self.nonce))

    def start_some_worker(self) -> None:
        """Run a worker that dies at a random point, or not."""
        drawn = self.rng.random()
        if drawn < 0.2:
            self.start_worker(None)
        elif drawn < 0.4:
            self.start_worker("instruction", self.rng.randrange(MAX_INSTRUCTION))
        elif drawn < 0.5 and self.fills_disks:
            self.start_worker("full disk", self.rng.randrange(5))
        else:
            self.start_worker(self.rng.choice(list(POINTS)), self.rng.choice([1, 1, 1, 2, 3, 6]))

    def has_worker(self) -> bool:
        """Return whether the worker lives, and note its end."""
        if self.worker is not None and os.waitpid(self.worker, os.WNOHANG)[0]:
            self.worker = None
            self.check()
        return self.worker is not None

    def kill_worker(self) -> None:
        if self.worker is not None:
            self.log.append("worker killed")
            os.kill(self.worker, signal.SIGKILL)
            os.waitpid(self.worker, 0)
            self.worker = None
            self.check()

    def drain(self) -> None:
        """Run workers until no row waits, or one dies."""
        if not self.has_worker():
            self.start_some_worker()
        deadline = time.monotonic() + PATIENCE_SECS
        while self.has_worker():
            view = self.view()
            self.check_view(view)
            if not view.waiting:
                return
            if time.monotonic() > deadline:
                raise Difference("the rows are not stored")

    # Orders

    def order(self, **order: Any) -> Any:
        """Give the founder an order, and run workers until it has been obeyed."""
        self.log.append(json.dumps(order))
        os.write(self.orders, json.dumps(order).encode() + b"\n")
        deadline = time.monotonic() + PATIENCE_SECS
        patience = 0.2
        self.is_ordering = True
        while not select.select([self.replies], [], [], patience)[0]:
            patience = 0.02
            if not self.has_worker():
                self.start_some_worker()
            if time.monotonic() > deadline:
                raise Difference("an order is not obeyed")
        self.is_ordering = False
        return self._read_reply()

    def _read_reply(self) -> Any:
        line = b""
        while not line.endswith(b"\n"):
            block = os.read(self.replies, 4096)
            assert block, f"the founder is gone, see {self.directory / 'founder.log'}"
            line += block
        return json.loads(line)

    def act(self) -> None:
        """Do one thing at random."""
        rng = self.rng
        kind = rng.choice(["number", "number", "text", "large", "static"])
        count = rng.choice([1, 3, 20]) if kind != "large" else rng.choice([1, 10])
        if rng.random() < 0.1 and self.policy == "drop":
            kind, count = "large", 60
        drawn = rng.choice(["log", "log", "child", "child", "sinks", "beside", "drain", "drain", "kill", "flush"])
        if drawn == "log":
            self.returned[self.founder] += self.order(do="log", start=self.number, count=count, kind=kind)
        elif drawn == "child":
            end = rng.choice(["exit", "os._exit", "kill", "within a call", "within a call"])
            file = str(self.directory / f"child-{self.number}.rrd") if rng.random() < 0.2 else ""
            said = self.order(
                do="child",
                start=self.number,
                count=count,
                kind=kind,
                end=end,
                file=file,
                instruction=rng.randrange(1500),
            )
            self.returned[said["pid"]] += said["returned"]
            self.unsure[said["pid"]] += said["unsure"]
        elif drawn == "sinks":
            if not (self.has_rules and self.files):
                self.set_sinks(has_file=rng.random() < 0.7)
        elif drawn == "beside":
            count = rng.choice([1, 5])
            file = str(self.directory / "beside.rrd")
            self.returned[self.founder] += self.order(do="beside", file="" if self.has_beside else file, count=count)
            self.has_beside = True
        elif drawn == "drain":
            self.drain()
        elif drawn == "kill":
            self.kill_worker()
        else:
            self.order(do="flush")
        self.number += count + 1
        self.check()

    def set_sinks(self, *, has_file: bool) -> None:
        """Set other sinks."""
        file = str(self.directory / f"main-{len(self.files)}.rrd") if has_file else ""
        url = DEAD_URL if self.rng.random() < 0.3 else ""
        self.order(do="sinks", file=file, rules=self.has_rules, url=url)
        if file:
            self.files.append(file)
        self.has_file = has_file

    # Checks

    def view(self) -> SessionView:
        """Look at the session."""
        for path in (self.segment.living_path, self.segment.ending_path):
            if os.path.exists(path):
                found, words = look_at(path), header_at(path)
                # The last worker removes the accounts before the segment.
                if found is not None and words is not None and words[Header.SESSION_STATE] < SessionState.REMOVING:
                    return found
        raise FileNotFoundError(self.path)

    def check(self) -> None:
        """Compare the numbers of the session with those of the calls. No worker lives, or its rows are all stored."""
        try:
            view = self.view()
        except FileNotFoundError:
            return
        self.check_view(view)
        if self.worker is None and not self.is_ordering:
            for pid, logged in self.logged_in(view).items():
                least = self.returned[pid]
                if not least <= logged <= least + self.unsure[pid]:
                    raise Difference(f"process {pid} has logged {logged} rows, and {least} calls returned")

    def logged_in(self, view: SessionView) -> Counter[int]:
        """Return the rows of each process."""
        found = Counter(dict.fromkeys(self.returned, 0))
        for process in view.processes:
            found[process.pid] += process.logged
        return found

    def check_view(self, view: SessionView) -> None:
        """Check what holds at any moment: no number is negative, or goes backwards, and the sums are right."""
        found: dict[int, tuple[int, ...]] = {}
        for one in view.processes:
            if min(one.stored, one.held_back, one.waiting, one.dropped, one.refused) < 0:
                raise Difference(f"a negative number: {one}")
            if one.logged != one.stored + one.held_back + one.dropped + one.waiting:
                raise Difference(f"a wrong sum: {one}")
            numbers: tuple[int, ...] = (one.logged, one.dropped, one.refused, int(one.blocked_secs * 1e9))
            found[one.pid] = tuple(map(sum, zip(found.get(one.pid, (0, 0, 0, 0)), numbers, strict=True)))
        for pid, numbers in self.before.items():
            now = found.get(pid, (0, 0, 0, 0))
            if any(new < old for new, old in zip(now, numbers, strict=True)):
                raise Difference(f"process {pid} had {numbers} (logged, dropped, refused, blocked), and has {now}")
        self.before = found

    # The end

    def abandon(self) -> None:
        """Kill the processes, and let a worker remove the session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.founder, signal.SIGKILL)
        self.kill_worker()
        if os.path.exists(self.segment.living_path) or os.path.exists(self.segment.ending_path):
            self.start_worker(None)
            assert self.worker is not None
            os.waitpid(self.worker, 0)

    def finish(self) -> None:
        """End the founder, let workers end the session, and compare files and reports with the numbers before."""
        if not self.has_file:
            self.set_sinks(has_file=True)
        self.kill_worker()
        self.check()
        os.close(self.orders)
        if self.rng.random() < 0.5:
            self.log.append("founder killed")
            os.kill(self.founder, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_SECS
        is_gone = False
        lives = 0
        while True:
            is_gone = is_gone or bool(os.waitpid(self.founder, os.WNOHANG)[0])
            if not self.has_worker():
                if not (os.path.exists(self.segment.living_path) or os.path.exists(self.segment.ending_path)):
                    if is_gone:
                        break
                    continue
                lives += 1
                if lives > 4:
                    self.start_worker(None)
                else:
                    self.start_some_worker()
            if time.monotonic() > deadline:
                raise Difference("the session does not end")
            time.sleep(0.005)
        self.check_end()

    def check_end(self) -> None:
        """Compare the files and the final report with the calls."""
        assert self.report is not None
        text = read_final_report(self.report)
        self.log.append(text)
        dropped = published_totals(self.segment).total()
        held = 0
        found: Counter[bytes] = Counter()
        reported: dict[str, tuple[int | None, int]] = {}
        for line in text.splitlines():
            if line.startswith(FILE_MARK):
                number, held_back, path = line.removeprefix(FILE_MARK).split(" ", 2)
                reported[path] = (int(number) if number != "-" else None, int(held_back))
        beside = [str(self.directory / "beside.rrd")] if self.has_beside else []
        for file in [*self.files, *beside]:
            ids = ids_in(file)
            found.update(ids)
            rows, held_here = reported.get(file, (None, 0))
            held += held_here
            if rows is not None and rows != len(ids):
                raise Difference(f"{file} has {len(ids)} rows, and the final report says {rows}")
        if any(count > 1 for count in found.values()):
            raise Difference("rows are twice in the files")
        is_unsent = False
        for path in reported:
            if "/unsent/" in path:
                is_unsent = True
                ids = ids_in(path)
                named = int(path.removesuffix("-rows.rrd").rpartition("-")[2])
                if not len(ids) == len(set(ids)) == named or reported[path][0] not in (None, named):
                    raise Difference(f"{path} has {len(ids)} rows, {len(set(ids))} different ones")
                found.update(ids)
        if any(count > 2 for count in found.values()):
            raise Difference("rows are twice in the files")
        least = self.returned.total()
        have = len(found) + dropped
        most = least + self.unsure.total()
        # The file's rules may hold back what a file with unsent rows has.
        if not (least - held <= have <= most if is_unsent else least <= have + held <= most):
            raise Difference(
                f"{least} calls returned, {self.unsure.total()} unsure; the files have {len(found)} rows, {held} were "
                f"held back, and {dropped} dropped"
            )


def ids_in(path: str) -> list[bytes]:
    """Return the row ids in a file, without the collector's own rows."""
    if not RrdReader(path).recordings():
        return []
    return [row.row_id for row in rows_of(path) if not row.entity_path.startswith(("/__", "__"))]


def deadly(function: Callable[..., Any], nth: int, *, after: bool) -> Callable[..., Any]:
    """Return a function that kills its process after its nth call, or before that."""
    calls = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and not after:
            die()
        result = function(*arguments, **options)
        if calls == nth:
            die()
        return result

    return call


def fill_disk(nth: int) -> None:
    """Let disks have no room for the nth look after a sweep has begun, nor for the look after that."""
    has_room, begin, calls = disks.has_room, Sweeper.begin, -1

    def look(path: str, num_bytes: int) -> bool:
        nonlocal calls
        calls += calls >= 0
        return calls not in (nth + 1, nth + 2) and has_room(path, num_bytes)

    def begin_sweep(*arguments: Any) -> None:
        nonlocal calls
        calls = max(calls, 0)
        begin(*arguments)

    vars(disks)["has_room"] = look
    setattr(Sweeper, "begin", begin_sweep)  # noqa: B010 (mypy allows no assignment to a method)


def main() -> int:
    """Try the histories."""
    directory, first, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    fills_disks = "full" in sys.argv
    for seed in range(first, first + number):
        history = History(directory, seed, fills_disks=fills_disks)
        try:
            for _ in range(history.rng.randrange(3, 14)):
                history.act()
            history.finish()
        except (Difference, AssertionError) as error:
            for line in history.log:
                print("   ", line)
            print(f"history {seed}: {error!r}", flush=True)
            history.abandon()
            return 1
        print(f"history {seed}: {history.returned.total()} rows", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
