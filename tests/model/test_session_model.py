"""The public API against a model of lists. Real processes and collectors are killed.

A history has one session. Its processes log, fork, start others, flush, and replace the recording's file. Any process,
the founder included, may be killed between two rows or in the middle of a call. So may guard and worker, in any order.
At the end the remaining processes end one by one, or all are killed together with the collector and the session is
recovered. Then each row whose call returned is in one of the files that it may be in, once. The only other rows are
those of interrupted calls, and each such call is there as a whole or not at all.
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

from tests.harness.programs import SLOWNESS, Program, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.rerun_names import RrdReader
from tests.harness.sessions import SessionWatch
from tests.model.histories import check

AGENT = Path(__file__).with_name("agent.py")
ANSWER_SECS = 60.0 * SLOWNESS
"""Seconds that an agent may take to answer. A collector may have to start again meanwhile."""
MAX_AGENTS = 6

HOW = st.sampled_from(("scalars", "scalars", "text", "large", "columns"))
PICK = st.integers(0, MAX_AGENTS - 1)
ROWS = st.integers(1, 40)


class Agent:
    """A process of the program, as the test sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lines = connection.makefile()
        self.name, pid = self.lines.readline().split()
        self.pid = int(pid)
        self.next = 0
        """Number of its next row."""

    def tell(self, *command: Any) -> None:
        """Send a command."""
        self.connection.sendall(json.dumps(command).encode() + b"\n")

    def answers(self) -> list[int]:
        """Return the rows that the last command logged. Waits until it is done or the process is dead."""
        found = []
        for line in self.lines:
            if line == "done\n":
                break
            found.append(int(line))
        return found

    def close(self) -> None:
        """Close the connection."""
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
        """Returned row to the files that may hold it."""
        self.unflushed: dict[str, set[tuple[str, int]]] = {}
        """Rows that no flush has covered, by process. They may be in their file or in a later one."""
        self.unsure: list[set[tuple[str, int]]] = []
        """Rows of interrupted calls: all rows of a call are in the files, or none."""
        self.names = 0
        environment = dict(self.watch.environment)
        self.program = Program(AGENT, self.directory / "s", self.files[0], directory=self.directory, env=environment)
        self.accept()

    def accept(self) -> None:
        """Wait until a new process connects."""
        connection, _ = self.listener.accept()
        connection.settimeout(ANSWER_SECS)
        self.agents.append(Agent(connection))

    def has_root(self) -> bool:
        """Return whether the first process lives."""
        return bool(self.agents) and self.agents[0].name == "root"

    def new_name(self) -> str:
        """Return an unused name for a process."""
        self.names += 1
        return f"child{self.names}"

    def agent(self, pick: int) -> Agent:
        """Return a living process."""
        return self.agents[pick % len(self.agents)]

    def note(self, agent: Agent, rows: list[int]) -> None:
        """Note returned rows."""
        for row in rows:
            key = (agent.name, row)
            self.where[key] = {self.files[-1]}
            self.unflushed.setdefault(agent.name, set()).add(key)

    @precondition(lambda self: self.agents)
    @rule(pick=PICK, how=HOW, number=ROWS)
    def log(self, pick: int, how: str, number: int) -> None:
        """Log rows in a process. Each call returns."""
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
        """Start a child of the first process through multiprocessing. The parent waits for it at its own end."""
        root = self.agents[0]
        root.tell("start", method, self.new_name())
        assert root.answers() == []
        self.accept()

    @precondition(lambda self: self.has_root() and self.where)
    @rule()
    def save(self) -> None:
        """Replace the file. Unflushed rows of other processes may go to the old or the new one."""
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
        """Kill a process that logs, after `after` answers or when it is done."""
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
            # One call logs all rows: without an answer they are there together or not at all.
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
        """Kill guard, worker or both, at work or while they start."""
        self.watch.kill_running(*roles)

    @precondition(lambda self: len(self.agents) > 1)
    @rule(pick=PICK)
    def end(self, pick: int) -> None:
        """End a child. The first process does not end here, because it would wait for its children."""
        agent = self.agents[1 + pick % (len(self.agents) - 1)]
        agent.tell("end")
        assert agent.lines.readline() == ""
        agent.close()
        self.agents.remove(agent)

    @precondition(lambda self: not self.agents)
    @rule()
    def wait(self) -> None:
        """Do nothing: every process is dead."""

    def teardown(self) -> None:
        """End the processes, the youngest first, or kill all at once. Then check the files."""
        try:
            if len(self.where) % 4 == 3 and self.agents:
                self.kill_everything()
            for agent in reversed(self.agents):
                agent.tell("end")
                assert agent.lines.readline() == ""
            self.program.wait() if self.has_root() else self.program.end()
            wait_until(lambda: not self.is_in_use(), what="the end of the session's processes")
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
        """Kill all processes of the program and the collector. All are stopped first, so that none reacts."""
        for number in (signal.SIGSTOP, None, signal.SIGKILL):
            if number is None:
                self.watch.kill_running()
            else:
                for agent in self.agents:
                    os.kill(agent.pid, number)
        for agent in self.agents:
            assert agent.lines.readline() == ""
            agent.close()
        self.agents.clear()

    def is_in_use(self) -> bool:
        """Return whether any process takes part in the session or collects from it."""
        try:
            return self.watch.is_in_use()
        except FileNotFoundError:
            return any(self.watch.collectors().values())

    def recover(self) -> None:
        """Recover the session, as the user's next program would."""
        command = [sys.executable, "-m", "rerun_mp", "recover", "--quiet", "--into", str(self.recovered)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def check(self) -> None:
        """Assert that each row is once in a file that may hold it, and that no other row exists."""
        found: Counter[tuple[str, int]] = Counter()
        for path in [path for path in self.files if path.exists()] + sorted(self.recovered.glob("*.rrd")):
            if not RrdReader(path).recordings():
                continue  # a file without rows has neither recording nor footer, as with rerun
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
        assert not twice, f"rows stored twice: {twice}"
        lost = sorted(self.where.keys() - found.keys())
        assert not lost, f"rows lost although their calls returned: {lost}"
        for call in self.unsure:
            assert len(call & found.keys()) in (0, len(call)), f"only a part of one call is stored: {call}"
        strange = found.keys() - self.where.keys() - set().union(*self.unsure)
        assert not strange, f"rows that were never logged: {strange}"


def check_in(place: Path, examples: int, steps: int) -> None:
    """Run histories without shrinking: real processes do not repeat a history exactly."""

    class Placed(SessionMachine):
        pass

    Placed.place = place
    check(Placed, examples, steps, is_shrunk=False)


def test_real_processes_deliver_each_returned_row_once(place: Path) -> None:
    """Processes and collectors are killed at random moments."""
    check_in(place, examples=4, steps=15)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_real_histories_deliver_each_returned_row_once(place: Path) -> None:
    """Processes and collectors are killed at random moments."""
    check_in(place, examples=300, steps=40)
