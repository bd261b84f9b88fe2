"""A program that does what it is told over a socket, in as many processes as it is told to have.

    python agent.py SOCKET PATH

Its first process founds a session and saves to PATH. Every process connects to SOCKET and says its name and pid;
then it takes commands, JSON lists of which the first is the name of a method of `Agent`, a line each, and answers each
row that a call has returned for, and each command that is done, with a line.
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
    """What one process does."""

    connection: socket.socket
    current: Agent | None = None
    """The one of this process, or of the parent that it has just been forked from."""

    def __init__(self, address: str, name: str) -> None:
        if Agent.current is not None:
            # Whoever reads there must see when our parent has ended.
            os.close(Agent.current.connection.detach())
        Agent.current = self
        self.address, self.name = address, name
        self.children: list[int] = []
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(address)
        self.say(f"{name} {os.getpid()}")

    def say(self, line: str) -> None:
        """Answer."""
        self.connection.sendall(f"{line}\n".encode())

    def serve(self) -> None:
        """Do what is asked, until it is to end."""
        with self.connection.makefile() as commands:
            for line in commands:
                self.children = [pid for pid in self.children if os.waitpid(pid, os.WNOHANG) == (0, 0)]
                command, *args = json.loads(line)
                if command == "end":
                    return
                getattr(self, command)(*args)
                self.say("done")

    def log(self, how: str, first: int, number: int) -> None:
        """Log rows, or send them in one call."""
        entity = f"model/{self.name}"
        if how == "columns":
            steps = list(range(first, first + number))
            rr.send_columns(entity, [rr.TimeColumn("step", sequence=steps)], rr.Scalars.columns(scalars=steps))
            for step in steps:
                self.say(str(step))
            return
        for step in range(first, first + number):
            rr.set_time("step", sequence=step)
            thing: Any = rr.Scalars(float(step))
            if how != "scalars":
                thing = rr.TextDocument(f"{step:09}" * {"text": 1, "large": 50_000}[how])
            rr.log(entity, thing)
            self.say(str(step))

    def flush(self) -> None:
        """Wait until everything of this process is stored."""
        rr.flush()

    def save(self, path: str) -> None:
        """Give the recording another file."""
        rr.save(path)

    def fork(self, name: str) -> None:
        """Have a child that ends as multiprocessing's do, without anything that runs at exit."""
        pid = os.fork()
        if pid:
            self.children.append(pid)
            return
        Agent(self.address, name).serve()
        os._exit(0)

    def start(self, method: str, name: str) -> None:
        """Have a child as multiprocessing makes it."""
        context: Any = multiprocessing.get_context(method)
        context.Process(target=work, args=(self.address, name)).start()


def work(address: str, name: str) -> None:
    """Be a child of multiprocessing."""
    Agent(address, name).serve()


def main() -> None:
    """Be the first process."""
    rr.init("rerun_mp_model", recording_id="model")
    rr.save(sys.argv[2])
    Agent(sys.argv[1], "root").serve()


if __name__ == "__main__":
    main()
