"""A program that takes commands over a socket, in several processes.

    python agent.py SOCKET PATH

The first process founds a session and saves to PATH. Each process connects to SOCKET and sends its name and pid. Then
it reads commands, one a line: a JSON list of a method of `Agent` and its arguments. It answers with the number of each
row when its call returns, and with `done`, one a line.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
from typing import Any

import rerun_mp as rr


class Agent:
    """The commands of one process."""

    connection: socket.socket
    current: Agent | None = None
    """The agent of this process. Right after a fork it is the parent's."""

    def __init__(self, address: str, name: str) -> None:
        if Agent.current is not None:
            # The test must see the end of the parent's connection when the parent ends.
            os.close(Agent.current.connection.detach())
        Agent.current = self
        self.address, self.name = address, name
        self.children: list[int] = []
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(address)
        self.say(f"{name} {os.getpid()}")

    def say(self, line: str) -> None:
        """Send a line to the test."""
        self.connection.sendall(f"{line}\n".encode())

    def serve(self) -> None:
        """Run commands until `end`."""
        with self.connection.makefile() as commands:
            for line in commands:
                self.children = [pid for pid in self.children if os.waitpid(pid, os.WNOHANG) == (0, 0)]
                command, *args = json.loads(line)
                if command == "end":
                    return
                getattr(self, command)(*args)
                self.say("done")

    def log(self, how: str, first: int, number: int) -> None:
        """Log `number` rows in calls of their own, or as columns in one call."""
        entity = f"model/{self.name}"
        if how == "columns":
            steps = list(range(first, first + number))
            rr.send_columns(entity, [rr.TimeColumn("step", sequence=steps)], rr.Scalars.columns(scalars=steps))
            for step in steps:
                self.say(str(step))
            return
        for step in range(first, first + number):
            rr.set_time("step", sequence=step)
            archetype: Any = rr.Scalars(float(step))
            if how != "scalars":
                archetype = rr.TextDocument(f"{step:09}" * {"text": 1, "large": 50_000}[how])
            rr.log(entity, archetype)
            self.say(str(step))

    def flush(self) -> None:
        """Wait until all rows of this process are stored."""
        rr.flush()

    def save(self, path: str) -> None:
        """Replace the recording's file."""
        rr.save(path)

    def fork(self, name: str) -> None:
        """Fork a child. It ends without exit handlers, as multiprocessing's children do."""
        pid = os.fork()
        if pid:
            self.children.append(pid)
            return
        Agent(self.address, name).serve()
        os._exit(0)

    def start(self, method: str, name: str) -> None:
        """Start a child through multiprocessing."""
        context: Any = multiprocessing.get_context(method)
        context.Process(target=work, args=(self.address, name)).start()


def work(address: str, name: str) -> None:
    """Run a child of multiprocessing."""
    Agent(address, name).serve()


def main() -> None:
    """Run the first process."""
    rr.init("rerun_mp_model", recording_id="model")
    rr.save(sys.argv[2])
    Agent(sys.argv[1], "root").serve()


if __name__ == "__main__":
    main()
