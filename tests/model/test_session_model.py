"""The public face against a model of lists, with real processes that are killed, and so is their collector.

A history has one session. Its processes log, fork, start others, flush, and give the recording another file; each may
be killed between two rows or at any moment of a call, the first one too, and the collector's two processes may be, in
whatever order. Then the rest ends, in order or all at once with the collector; what that leaves is recovered. The rows
whose call returned are then in the files, each once and in one that it may be in; of the rest there is nothing but the
row, or the columns, of the call in the middle of which somebody was killed, whole.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from rerun.chunk import RrdReader

from tests.harness.programs import Program, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch
from tests.model.histories import check

AGENT = Path(__file__).with_name("agent.py")
ANSWER_SECS = 60.0
"""How long an agent may take to answer; a collector may have to be started again before."""
MAX_AGENTS = 6

HOW = st.sampled_from(("scalars", "scalars", "text", "large", "columns"))
PICK = st.integers(0, MAX_AGENTS - 1)
ROWS = st.integers(1, 40)


class Agent:
    """A process of the program: what it was told, and what it has answered."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lines = connection.makefile()
        self.name, pid = self.lines.readline().split()
        self.pid = int(pid)
        self.next = 0
        """The number of its next row."""

    def tell(self, *command: Any) -> None:
        """Begin a command."""
        self.connection.sendall(json.dumps(command).encode() + b"\n")

    def answers(self) -> list[int]:
        """Return the rows that the last command has logged; it is done, or its process has died."""
        found = []
        for line in self.lines:
            if line == "done\n":
                break
            found.append(int(line))
        return found

    def close(self) -> None:
        """Have nothing more to do with it."""
        self.lines.close()
        self.connection.close()


class SessionMachine(RuleBasedStateMachine):
    """A history of one session."""

    place: Path

    @initialize()
    def found(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="h-", dir=self.place))
        self.watch = SessionWatch()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(ANSWER_SECS)
        self.listener.bind(str(self.directory / "s"))
        self.listener.listen()
        self.files = [self.directory / "0.rrd"]
        self.recovered = self.directory / "recovered"
        self.agents: list[Agent] = []
        self.where: dict[tuple[str, int], set[Path]] = {}
        """In which files each returned row may be."""
        self.unflushed: dict[str, set[tuple[str, int]]] = {}
        """Rows that may still be on their way to the file that the recording had when they were logged, by process."""
        self.unsure: list[set[tuple[str, int]]] = []
        """Rows of calls that did not return: there together or not at all."""
        self.names = 0
        environment = dict(self.watch.environment)
        self.program = Program(AGENT, self.directory / "s", self.files[0], directory=self.directory, env=environment)
        self.accept()

    def accept(self) -> None:
        """Wait for a process that has just been started."""
        connection, _ = self.listener.accept()
        connection.settimeout(ANSWER_SECS)
        self.agents.append(Agent(connection))

    def has_root(self) -> bool:
        """Say whether the first process lives."""
        return bool(self.agents) and self.agents[0].name == "root"

    def new_name(self) -> str:
        """Return a name that no process has had."""
        self.names += 1
        return f"child{self.names}"

    def agent(self, pick: int) -> Agent:
        """Return one of those that live."""
        return self.agents[pick % len(self.agents)]

    def note(self, agent: Agent, rows: list[int]) -> None:
        """Note what has been logged."""
        for row in rows:
            key = (agent.name, row)
            self.where[key] = {self.files[-1]}
            self.unflushed.setdefault(agent.name, set()).add(key)

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, how=HOW, number=ROWS)
    def log(self, pick: int, how: str, number: int) -> None:
        """Everything that a process logs is answered."""
        agent = self.agent(pick)
        agent.tell("log", how, agent.next, number)
        rows = agent.answers()
        assert rows == list(range(agent.next, agent.next + number)), self.program.stderr
        self.note(agent, rows)
        agent.next += number

    @precondition(lambda self: self.agents)
    @rule(pick=PICK)
    def flush(self, pick: int) -> None:
        agent = self.agent(pick)
        agent.tell("flush")
        assert agent.answers() == []
        self.unflushed.pop(agent.name, None)

    @precondition(lambda self: 0 < len(self.agents) < MAX_AGENTS)
    @rule(pick=PICK)
    def fork(self, pick: int) -> None:
        agent = self.agent(pick)
        agent.tell("fork", self.new_name())
        assert agent.answers() == []
        self.accept()

    @precondition(lambda self: self.has_root() and len(self.agents) < MAX_AGENTS and self.names < 6)
    @rule(method=st.sampled_from(("fork", "spawn")))
    def start(self, method: str) -> None:
        """Have multiprocessing make a child; who has any waits for them at its end."""
        root = self.agents[0]
        root.tell("start", method, self.new_name())
        assert root.answers() == []
        self.accept()

    @precondition(lambda self: self.has_root() and self.where)
    @rule()
    def save(self) -> None:
        """Have the whole recording go to another file; what others have not flushed may go to either."""
        root = self.agents[0]
        self.files.append(self.directory / f"{len(self.files)}.rrd")
        root.tell("save", str(self.files[-1]))
        assert root.answers() == []
        self.unflushed.pop("root", None)
        for rows in self.unflushed.values():
            for key in rows:
                self.where[key].add(self.files[-1])

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, how=HOW, number=ROWS, after=st.integers(0, 40))
    def kill(self, pick: int, how: str, number: int, after: int) -> None:
        """In the middle of logging, if it is still at it."""
        agent = self.agent(pick)
        agent.tell("log", how, agent.next, number)
        rows = []
        for line in agent.lines:
            if line == "done\n":
                break
            rows.append(int(line))
            if len(rows) >= after:
                break
        os.kill(agent.pid, signal.SIGKILL)
        rows += agent.answers()
        self.note(agent, rows)
        missing = {(agent.name, row) for row in range(agent.next + len(rows), agent.next + number)}
        if how == "columns":
            # One call: what it has not been able to answer for it may have logged.
            self.unsure.append(missing if not rows else set())
            for row in missing if rows else ():
                self.where[row] = {self.files[-1]}
        else:
            self.unsure.append({(agent.name, agent.next + len(rows))} & missing)
        agent.close()
        self.agents.remove(agent)

    @precondition(lambda self: self.agents)
    @rule(roles=st.sampled_from((("worker",), ("worker",), ("guard",), ("guard", "worker"))))
    def kill_collector(self, roles: tuple[str, ...]) -> None:
        """Whether it has just been started or is at work."""
        self.watch.kill_what_is_there(*roles)

    @precondition(lambda self: len(self.agents) > 1)
    @rule(pick=PICK)
    def end(self, pick: int) -> None:
        """Let a child end; the first process would wait for others."""
        agent = self.agents[1 + pick % (len(self.agents) - 1)]
        agent.tell("end")
        assert agent.lines.readline() == ""
        agent.close()
        self.agents.remove(agent)

    @precondition(lambda self: not self.agents)
    @rule()
    def wait(self) -> None:
        """Do nothing; nobody is left who could."""

    def teardown(self) -> None:
        """Let everything end, the youngest first, or by one blow; and count."""
        try:
            if len(self.where) % 4 == 3 and self.agents:
                self.kill_everything()
            for agent in reversed(self.agents):
                agent.tell("end")
                assert agent.lines.readline() == ""
            self.program.wait() if self.has_root() else self.program.end()
            wait_until(lambda: not self.is_lived_in(), timeout_secs=60.0, what="the end of the session's processes")
            if self.watch.segment.exists():
                self.recover()
            self.check()
        except BaseException:
            self.program.dump_stacks()
            sys.stderr.write(self.program.stderr)
            raise
        finally:
            for agent in self.agents:
                agent.close()
            self.listener.close()
            self.program.end()

    def kill_everything(self) -> None:
        """Kill every process of the program and of the collector, all of them before any can react."""
        for number in (signal.SIGSTOP, None, signal.SIGKILL):
            if number is None:
                self.watch.kill_what_is_there()
            else:
                for agent in self.agents:
                    os.kill(agent.pid, number)
        for agent in self.agents:
            assert agent.lines.readline() == ""
            agent.close()
        self.agents.clear()

    def is_lived_in(self) -> bool:
        """Say whether any process takes part in the session."""
        try:
            return self.watch.is_lived_in()
        except FileNotFoundError:
            return any(self.watch.collectors().values())

    def recover(self) -> None:
        """Do what the next program of the user would do."""
        command = [sys.executable, "-m", "rerun_mp", "recover", "--quiet", "--into", str(self.recovered)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def check(self) -> None:
        """Assert that every row is where it may be, once, and that nothing else is anywhere."""
        found: Counter[tuple[str, int]] = Counter()
        for path in [path for path in self.files if path.exists()] + sorted(self.recovered.glob("*.rrd")):
            if not RrdReader(path).recordings():
                continue  # without any row a file has neither recording nor footer, as rerun's own
            verify(path)
            for row in rows_of(path):
                key = (row.entity_path.removeprefix("model/"), row.times["step"])
                found[key] += 1
                assert path in self.where.get(key, {path}) or path.parent == self.recovered, f"{key} is in {path}"
                (content,) = row.components.values()
                if content.type.value_type == "string":
                    text = content[0].as_py()
                    assert len(text) in (9, 450_000), len(text)
                    assert text == f"{key[1]:09}" * (len(text) // 9), f"{key} is torn"
                else:
                    assert content.as_py() == [float(key[1])], f"{key} is {content}"
        twice = [key for key, number in found.items() if number > 1]
        assert not twice, f"{twice} are there twice"
        lost = sorted(self.where.keys() - found.keys())
        assert not lost, f"{lost} returned and are lost"
        for call in self.unsure:
            assert len(call & found.keys()) in (0, len(call)), f"of {call} only a part is there"
        strange = found.keys() - self.where.keys() - set().union(*self.unsure)
        assert not strange, f"{strange} were never logged"


def check_in(place: Path, examples: int, steps: int) -> None:
    """Run so many histories; real processes do not do the same again, which shrinking needs."""

    class Placed(SessionMachine):
        pass

    Placed.place = place
    check(Placed, examples, steps, is_shrunk=False)


def test_real_processes_deliver_what_returned_once(place: Path) -> None:
    """Whoever is killed, at whatever moment."""
    check_in(place, examples=4, steps=15)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_real_histories_deliver_what_returned_once(place: Path) -> None:
    """Whoever is killed, at whatever moment."""
    check_in(place, examples=300, steps=40)
