"""Mixed episodes: files, servers, rotation, modes, rules, scopes, snapshots, pauses and kills in random combination.

The driver tells processes (`player.py`) what to do, kills some of them and the collector meanwhile, and notes for each
file and server which rows must be there. In the end it compares.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from rerun_mp.session.rotation import existing_parts
from tests.harness.programs import ROOT, Program, wait_until
from tests.harness.servers import Server
from tests.harness.sessions import SessionWatch
from tests.harness.viewers import free_port
from tests.soak.episode import END_SECS
from tests.soak.mixed_checks import Checks, Content, Snapshot, Target
from tests.soak.player import COLUMNS, SOCKET, returned_path
from tests.soak.recovering import kill_recoveries, recover

__all__ = ["STEPS", "Mixed", "Process"]

ANSWER_SECS = 90.0
KINDS = ("scalar", "scalar", "text", "points", "columns", "large", "static", "static")
TOPS = ("free", "free", "cut", "third")
STEPS = 50
WEIGHTS = {
    "log": 40,
    "sinks": 14,
    "blueprint": 5,
    "property": 3,
    "checkpoint": 4,
    "snapshot": 5,
    "episode": 8,
    "pause": 4,
    "child": 6,
    "exit": 2,
    "server": 2,
    "sleep": 4,
}
"""Command -> how often it comes."""
COMMAND_CHARACTERS = 3000
"""Maximum length of a command in the description of a failure."""


@dataclass
class Process:
    """A process that plays."""

    name: str
    pid: int
    lines: Any
    parent: str | None
    number: int = 0
    """Number of the processes that were started before it."""
    is_busy: bool = False
    is_alive: bool = True
    calls: list[tuple[str, str, int]] = field(default_factory=list)
    """The calls of a command whose answer has not come."""


Plan = tuple[Process, str, list[tuple[str, str, int]]]
"""A process, a recording, and calls: (entity, kind, number of the first row)."""


class Mixed(Checks):
    """One episode."""

    def __init__(self, own: Path, environment: dict[str, str], seed: str, steps: int, log: Any) -> None:
        super().__init__(own / "out", log)
        self.own = own
        self.out.mkdir()
        self.environment = environment
        self.choose = random.Random(seed)
        self.steps = steps
        self.number = 0
        self.faults: Counter[str] = Counter()
        self.pending: dict[str, list[tuple[int, str, bool]]] = defaultdict(list)
        self.paused: set[str] = set()
        self.founders: dict[str, str] = {}
        self.processes: dict[str, Process] = {}
        self.runs = 0
        self.names = 0
        self.weights = dict(WEIGHTS)

    # Processes

    def start(self) -> None:
        self.runs += 1
        self.watch = SessionWatch()
        self.targets, self.founders, self.processes = [], {}, {}
        self.pending.clear()
        self.paused.clear()
        self.logged, self.unsure, self.properties = [], set(), 0
        directory = self.own / f"run{self.runs}"
        directory.mkdir()
        self.listener = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.own / SOCKET)
        self.listener.bind(str(self.own / SOCKET))
        self.listener.listen(16)
        self.listener.settimeout(ANSWER_SECS)
        name = f"founder{self.runs}"
        self.program = Program(
            ROOT / "tests/soak/player.py",
            self.own,
            name,
            directory=directory,
            env={**self.environment, **self.watch.environment},
        )
        self.recs = [f"{name}-0", f"{name}-1"]
        self.founders[self.recs[0]] = name
        self.founder = self.accept(None)
        self.log(f"run {self.runs}: {name} {self.founder.pid}")

    def close(self) -> None:
        """End the processes, and close what the driver has opened. A second call changes nothing."""
        self.program.end()
        self.listener.close()
        for process in self.processes.values():
            with contextlib.suppress(BrokenPipeError):
                process.lines.close()

    def accept(self, parent: str | None) -> Process:
        connection, _ = self.listener.accept()
        connection.settimeout(ANSWER_SECS)
        lines = connection.makefile("rw", encoding="utf-8")
        connection.close()  # `lines` keeps it open
        name, pid = lines.readline().split()
        process = self.processes[name] = Process(name, int(pid), lines, parent, self.names)
        return process

    def send(self, process: Process, do: str, **arguments: Any) -> None:
        self.log(f"{process.name}: {do} {json.dumps(arguments)[:COMMAND_CHARACTERS]}")
        process.lines.write(json.dumps({"do": do, **arguments}) + "\n")
        process.lines.flush()
        process.is_busy = True

    def answer(self, process: Process) -> Any:
        try:
            line = process.lines.readline()
        except TimeoutError:
            raise AssertionError(f"{process.name} does not answer\n{self.program.stderr}") from None
        assert line, f"{process.name} has ended\n{self.program.stderr}"
        process.is_busy = False
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{process.name}: {answer['error']}")
        return answer

    def ask(self, process: Process, do: str, **arguments: Any) -> Any:
        """Send a command, perhaps kill a process of the collector meanwhile, and return the answer."""
        self.send(process, do, **arguments)
        self.perhaps_harm()
        return self.answer(process)

    def look(self) -> None:
        """Let the founder, if it lives, look whether the collector lives."""
        if not self.founder.is_alive:
            return
        self.founder.lines.write('{"do": "look"}\n')
        self.founder.lines.flush()
        self.answer(self.founder)

    def perhaps_harm(self, chance: float = 0.12) -> None:
        if self.choose.random() < chance:
            roles = self.choose.choice([("worker",), ("worker",), ("guard",), ("guard", "worker")])
            time.sleep(self.choose.choice((0.0, 0.002, 0.01, 0.03)))
            self.log(f"kill {roles}")
            self.watch.kill_running(*roles)
            self.faults["+".join(roles) + " killed in a mixed episode"] += 1

    def alive(self) -> list[Process]:
        return [one for one in self.processes.values() if one.is_alive]

    # Model

    def around(self, name: str | None) -> set[str]:
        found = set()
        while name is not None:
            found.add(name)
            name = self.processes[name].parent
        return found

    def takers(self, process: Process, rec: str) -> list[Target]:
        around = self.around(process.name)
        return [one for one in self.targets if one.rec == rec and (one.is_whole or one.owner in around)]

    def note(self, process: Process, rec: str, entity: str, number: int, *, static: bool, sure: bool = True) -> None:
        """Note that a row has been logged."""
        self.founders.setdefault(rec, process.name)
        if rec in self.paused:
            return
        self.rows_of[rec].add(number)
        if sure:
            self.logged.append((number, entity))
        else:
            self.unsure.add(number)
        takers = self.takers(process, rec)
        for one in takers:
            # A descendant that logged before its ancestor set the sink stays outside.
            is_inside = one.is_whole or one.owner == process.name or process.number > one.since
            self.put(one, entity, number, static=static, sure=sure and is_inside)
        if not any(one.is_whole for one in takers):
            self.pending[rec].append((number, entity, static))
            if not sure:
                self.unsure.add(number)

    def put(self, target: Target, entity: str, number: int, *, static: bool, sure: bool) -> None:
        content = target.content
        content.entities[number] = entity
        if target.rules and not static:
            if entity.startswith("cut/"):
                return
            sure = sure and not (entity.startswith("third/") and target.kind == "file")
        elif target.rules and entity.startswith("cut/"):
            return
        if static:
            content.statics[number] = entity
        (content.sure if sure else content.maybe).add(number)

    # Commands

    def draw_calls(self, process: Process, count: int) -> list[tuple[str, str, int]]:
        calls = []
        for _ in range(count):
            kind = self.choose.choice(KINDS)
            top = self.choose.choice(TOPS)
            calls.append((f"{top}/{process.name}/{kind}", kind, self.number))
            self.number += COLUMNS if kind == "columns" else 1
        return calls

    def note_calls(self, process: Process, rec: str, calls: list[tuple[str, str, int]], returned: int | None) -> None:
        is_first = True
        for entity, kind, number in calls:
            sure = returned is None or number < returned
            if not sure and not is_first:
                return
            for row in range(number, number + (COLUMNS if kind == "columns" else 1)):
                self.note(process, rec, entity, row, static=kind == "static", sure=sure)
            is_first = is_first and sure

    def do_log(self) -> None:
        """Let some processes log at once, and perhaps kill one of them."""
        plans = self.begin_log()
        victims = [one for one in plans if one[0] is not self.founder and one[0].is_busy]
        killed = None
        if victims and self.choose.random() < 0.1:
            killed = self.choose.choice(victims)[0]
            time.sleep(self.choose.choice((0.0, 0.001, 0.005)))
            self.log(f"kill {killed.name}")
            self.kill(killed)
        self.perhaps_harm()
        self.end_log(plans, killed)

    def begin_log(self) -> list[Plan]:
        """Let some processes begin to log."""
        chosen = [one for one in self.alive() if self.choose.random() < 0.7] or [self.founder]
        plans: list[Plan] = []
        for process in (one for one in chosen if one.is_alive):
            rec = self.choose.choice(self.recs)
            calls = self.draw_calls(process, self.choose.choice((1, 3, 10, 40)))
            plans.append((process, rec, calls))
            self.founders.setdefault(rec, process.name)
        for process, rec, calls in plans:
            self.send(process, "log", rec=rec, calls=calls)
            if len([one for one in plans if one[1] == rec]) > 1 and rec not in self.known_recs:
                self.answer(process)
            self.known_recs.add(rec)
        return plans

    def end_log(self, plans: list[Plan], killed: Process | None = None) -> None:
        """Wait until processes have logged, and note the rows."""
        for process, rec, calls in plans:
            if process is killed:
                returned = int.from_bytes(returned_path(self.own, process.name).read_bytes(), "little")
                self.note_calls(process, rec, calls, returned)
            else:
                if process.is_busy:
                    self.answer(process)
                self.note_calls(process, rec, calls, None)

    def kill(self, process: Process) -> None:
        target = psutil.Process(process.pid)
        target.send_signal(signal.SIGKILL)
        wait_until(lambda: not target.is_running() or target.status() == psutil.STATUS_ZOMBIE, what="a killed process")
        process.is_alive = False
        self.faults["process killed in a mixed episode"] += 1

    def do_property(self) -> None:
        process, rec = self.any_process(), self.choose.choice(self.recs)
        self.founders.setdefault(rec, process.name)
        self.known_recs.add(rec)
        self.ask(process, "property", rec=rec, name=f"p{self.choose.randrange(3)}", number=self.number)
        self.properties += rec not in self.paused

    def do_blueprint(self) -> None:
        process, rec = self.any_process(), self.choose.choice(self.recs)
        self.founders.setdefault(rec, process.name)
        self.known_recs.add(rec)
        self.ask(process, "blueprint", rec=rec, active=self.choose.random() < 0.5, name=f"view {self.number}")
        if self.choose.random() < 0.5:
            calls = self.draw_calls(process, 20)
            self.ask(process, "log", rec=rec, calls=calls)
            self.note_calls(process, rec, calls, None)

    def any_process(self) -> Process:
        alive = self.alive()
        if self.founder.is_alive and self.choose.random() < 0.6:
            return self.founder
        return self.choose.choice(alive)

    def do_sinks(self) -> None:
        """Set sinks."""
        process, rec = self.any_process(), self.choose.choice(self.recs)
        self.founders.setdefault(rec, process.name)
        self.known_recs.add(rec)
        is_whole = process is self.founder or self.founders[rec] == process.name
        mine = [one for one in self.targets if one.owner == process.name and one.rec == rec]
        sinks: list[dict[str, Any]] = []
        for _ in range(self.choose.choice((0, 1, 1, 1, 2, 2, 3))):
            sink = self.draw_sink(process, rec, mine)
            known = {(one["kind"], one.get("path") or one.get("url")) for one in sinks}
            if sink is not None and (sink["kind"], sink.get("path") or sink.get("url")) not in known:
                sinks.append(sink)
        numbers = {
            sink["path"]: max((number for number, _ in existing_parts(sink["path"])), default=0) + 1
            for sink in sinks
            if sink.get("rotate") is not None
        }
        self.ask(process, "sinks", rec=rec, sinks=sinks, default=self.choose.random() < 0.2)
        had_whole = any(one.rec == rec and one.is_whole for one in self.targets)
        self.targets = [one for one in self.targets if one not in mine]
        kept = [self.begin(process, rec, sink, mine, is_whole=is_whole) for sink in sinks]
        self.targets += kept
        for one in kept:
            if one not in mine:
                one.since = self.names
            if one not in mine and one.name in numbers:
                self.series[one.name].add(numbers[one.name])
            if not mine:  # no sink of this process ends, so the call does not wait for rows that are on their way
                one.content.maybe |= self.rows_of[rec]
        if is_whole and kept and not had_whole:
            for number, entity, static in self.pending.pop(rec, []):
                for one in kept:
                    self.put(one, entity, number, static=static, sure=number not in self.unsure)

    def path_of(self, name: str) -> str:
        """Return the path of the file with this name."""
        return str(self.out / f"{name}.rrd")

    def draw_sink(self, process: Process, rec: str, mine: list[Target]) -> dict[str, Any] | None:
        if self.servers and self.choose.random() < 0.25:
            if any(one.kind == "grpc" and one.rec == rec and one.owner != process.name for one in self.targets):
                return None
            server = self.choose.choice(self.servers)
            return {"kind": "grpc", "url": server.url, "rules": self.choose.random() < 0.4}
        if mine and self.choose.random() < 0.4:
            one = self.choose.choice(mine)
            if one.kind == "grpc":
                return {"kind": "grpc", "url": one.name, "rules": one.rules}
            if one.checkpoints:
                return None
            return {"kind": "file", "path": one.name, "rotate": one.rotate, "mode": one.mode, "rules": one.rules}
        taken = {one.name for one in self.targets if one.owner != process.name or one.rec != rec}
        taken |= {one.name for one in mine if one.checkpoints}
        if self.choose.random() < 0.35:
            name = "founder1" if self.runs > 1 and process is self.founder else process.name
            path = self.path_of(f"{name}-{rec[-1]}-r{self.choose.randrange(2)}")
            if path in taken or any(one.name == path for one in mine):
                return None
            rotate = self.choose.choice(
                (
                    {},
                    {"bytes": 20_000},
                    {"seconds": 0.3},
                    {"bytes": 20_000, "keep_parts": 2},
                    {"bytes": 50_000, "keep_bytes": 300_000},
                    {"keep_last": 1.0},
                    {"seconds": 0.2, "keep_seconds": 1.0},
                )
            )
            mode = self.choose.choice(("new", "append", "resume"))
            if mode == "resume" and any(one != rec for one in self.rotating.get(path, {})):
                mode = "append"  # the last part may have no recording of this id to go on with
            return {"kind": "file", "path": path, "rotate": rotate, "mode": mode, "rules": self.choose.random() < 0.25}
        path = self.path_of(self.choose.choice("abcdef"))
        if path in taken:
            return None
        mode = self.choose.choice(("new", "new", "append", "resume"))
        layers = self.files.get(path, {})
        if (mode == "append" and rec in layers) or (mode == "resume" and layers and rec not in layers):
            mode = "new"
        if any(one.name == path for one in mine):
            return None
        return {"kind": "file", "path": path, "mode": mode, "rules": self.choose.random() < 0.25}

    def begin(self, process: Process, rec: str, sink: dict[str, Any], mine: list[Target], *, is_whole: bool) -> Target:
        rules = bool(sink.get("rules"))
        name = sink.get("path") or sink["url"]
        known = next((one for one in mine if one.name == name and one.kind == sink["kind"]), None)
        if known is not None and (sink["kind"] == "file" or known.rules == rules):
            known.rules = rules
            return known
        if sink["kind"] == "grpc":
            content = Content()
            self.served[name, rec].append(rules)
            return Target("grpc", name, rec, process.name, content, rules=rules, is_whole=is_whole)
        rotate, mode = sink.get("rotate"), sink.get("mode", "new")
        if rotate is not None:
            content = self.rotating.setdefault(name, {}).setdefault(rec, Content())
        else:
            layers = self.files.setdefault(name, {})
            if mode == "new" and layers:
                self.replaced[name].append(dict(layers))
                layers.clear()
            content = layers.setdefault(rec, Content())
        before = frozenset(content.sure | content.maybe)
        return Target("file", name, rec, process.name, content, rotate, mode, rules, is_whole, before=before)

    def do_checkpoint(self) -> None:
        process, rec = self.any_process(), self.choose.choice(self.recs)
        if rec not in self.known_recs:
            return
        self.ask(process, "checkpoint", rec=rec)
        for one in self.targets:
            if one.owner == process.name and one.rec == rec and one.kind == "file":
                one.checkpoints += 1

    def do_snapshot(self) -> None:
        process, rec = self.any_process(), self.choose.choice(self.recs)
        files = [one for one in self.targets if one.rec == rec and one.kind == "file" and one.is_whole]
        if not any(one.content.sure for one in files):
            return
        path = self.out / f"snapshot{self.number}.rrd"
        self.number += 1
        self.ask(process, "snapshot", rec=rec, path=str(path))
        candidates = [one for one in files if one.rotate is not None] or files
        sources = [
            (
                one,
                one.content.sure - one.before,
                one.content.maybe | one.before,
                {number: name for number, name in one.content.statics.items() if number not in one.before},
            )
            for one in candidates
        ]
        self.snapshots.append(Snapshot(path, rec, sources))

    def do_episode(self) -> None:
        rec = self.choose.choice(self.recs)
        if any(one.rec == rec and one.rotate is not None for one in self.targets):
            self.ask(self.any_process(), "episode", rec=rec)

    def do_pause(self) -> None:
        rec = self.choose.choice(self.recs)
        if rec not in self.known_recs:
            return
        if rec in self.paused:
            self.ask(self.any_process(), "resume", rec=rec)
            self.paused.discard(rec)
        else:
            self.ask(self.any_process(), "pause", rec=rec)
            self.paused.add(rec)

    def do_child(self) -> None:
        if len(self.alive()) >= 4:
            return
        self.names += 1
        parent, name = self.any_process(), f"child{self.names}"
        how = self.choose.choice(("fork", "fork", "fork", "fork", "spawn"))
        self.send(parent, how, name=name)
        self.accept(parent.name)
        self.answer(parent)

    def do_exit(self) -> None:
        others = [one for one in self.alive() if one is not self.founder]
        if others:
            process = self.choose.choice(others)
            if any(one.parent == process.name for one in self.alive()):
                return
            self.log(f"{process.name}: exit")
            process.lines.write('{"do": "exit"}\n')
            process.lines.flush()
            assert not process.lines.readline()
            process.is_alive = False

    def do_server(self) -> None:
        """Kill a server, or start one, or start one again."""
        if len(self.servers) < 1:
            self.servers.append(Server(self.own / f"served{len(self.servers)}.rrd", free_port()))
            self.server_lives = 1
        elif self.choose.random() < 0.5:
            number = 0
            server = self.servers[number]
            self.log("server killed and started again")
            self.faults["server restarted in a mixed episode"] += 1
            server.end()
            self.server_lives += 1
            self.servers[number] = Server(self.own / f"served{number}-{self.server_lives}.rrd", server.port)

    def do_sleep(self) -> None:
        time.sleep(self.choose.choice((0.05, 0.3, 0.6)))

    # The episode

    def play(self) -> None:
        """Do random commands."""
        self.known_recs = {self.recs[0]}
        for _ in range(self.steps):
            getattr(self, f"do_{self.choose.choices(list(self.weights), list(self.weights.values()))[0]}")()

    def finish(self) -> None:
        """End the run in one of several ways."""
        how = self.choose.choice(("exit", "exit", "exit", "kill everything", "founder killed"))
        self.log(f"end: {how}")
        self.before_end()
        if how == "exit":
            for process in self.alive():
                self.ask(process, "flush")
            account = self.ask(self.founder, "statistics")
            deadline = time.monotonic() + ANSWER_SECS
            while account["logged"] < len(self.logged) and time.monotonic() < deadline:
                account = self.ask(self.founder, "statistics")  # rows of killed processes
            self.check_account(account)
            self.check_servers(self.look)
            for process in self.alive():
                process.lines.write('{"do": "exit"}\n')
                process.lines.flush()
            self.perhaps_harm(0.3)
            self.program.wait().check()
        elif how == "founder killed":
            self.kill(self.founder)
            for process in self.alive():
                process.lines.write('{"do": "exit"}\n')
                process.lines.flush()
            self.perhaps_harm(0.3)
        else:
            self.faults["everything killed in a mixed episode"] += 1
            os.killpg(self.program.pid, signal.SIGSTOP)  # so that no process starts another collector
            self.watch.kill_running()
            self.program.end()
        # Between the end of a collector and the start of the next one there is none.
        is_over = self.watch.is_gone if how == "exit" else lambda: not any(self.watch.collectors().values())
        wait_until(is_over, timeout_secs=END_SECS * 2, what="the end")
        self.close()
        if self.before_recovery() or how != "exit":
            self.faults += kill_recoveries(self.own, self.environment, self.watch, self.choose)
            recover(self.own, self.environment, ANSWER_SECS)
            wait_until(self.watch.is_gone, timeout_secs=END_SECS, what="the end of the recovery")
        self.check_files()

    def before_end(self) -> None:
        """Do what comes before the end of the processes."""

    def before_recovery(self) -> bool:
        """Do what comes before a recovery. Returns whether files may be incomplete although the program has ended."""
        return False

    def run(self) -> int:
        """Play the episode, and compare. Returns how many calls have returned.

        Raises
        ------
        AssertionError
            If a file or an account is not as expected.
        """
        returned = 0
        try:
            for _ in range(self.choose.choice((1, 1, 2))):
                self.start()
                try:
                    self.play()
                    self.finish()
                    returned += len(self.logged)
                finally:
                    self.close()
            assert not self.failures
        finally:
            for server in self.servers:
                server.end()
        return returned
