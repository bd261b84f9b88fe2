"""A client of a debugger that speaks the Debug Adapter Protocol, as editors do.

debugpy opens one session for each process. It asks the client of the first session to attach to each forked child. In
each session, this client stops at one breakpoint, steps from there into calls, clears the breakpoint and goes on.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.programs import wait_until

__all__ = ["DebugClient", "Session"]


@dataclass
class Session:
    """What a client sees of one process."""

    is_child: bool
    files: list[str] = field(default_factory=list)
    """The file of each line at which the process stopped, in order."""


class DebugClient:
    """Attaches to the debugger on `port` and to every child that it announces. Each session has a thread."""

    def __init__(self, port: int, program: Path, line: int, steps: int) -> None:
        self.sessions: list[Session] = []
        self._address = ("127.0.0.1", port)
        self._breakpoint = {"source": {"path": str(program)}, "breakpoints": [{"line": line}]}
        self._steps = steps
        self._threads: list[threading.Thread] = []
        self._attach({"justMyCode": False, "subProcess": True, "connect": {"host": "127.0.0.1", "port": port}})

    def _attach(self, configuration: dict[str, Any]) -> None:
        session = Session(is_child=bool(self.sessions))
        self.sessions.append(session)
        self._threads.append(threading.Thread(target=self._serve, args=(session, configuration), daemon=True))
        self._threads[-1].start()

    def wait(self) -> None:
        """Wait until the debugger has ended every session."""
        for thread in self._threads:
            thread.join()

    def _serve(self, session: Session, configuration: dict[str, Any]) -> None:
        """Answer the events of one process, until the debugger ends the session."""
        # The debugger may close the connection before the last request.
        with contextlib.suppress(ConnectionError), _Connection(self._address) as connection:
            self._answer(session, connection, configuration)

    def _answer(self, session: Session, connection: _Connection, configuration: dict[str, Any]) -> None:
        connection.request("initialize", adapterID="debugpy", pathFormat="path")
        connection.request("attach", **configuration)
        for message in connection.messages():
            body = message.get("body") or {}
            match message.get("event") or message.get("command"):
                case "initialized":
                    connection.request("setBreakpoints", **self._breakpoint)
                    connection.request("configurationDone")
                case "terminated":
                    connection.request("disconnect")
                case "debugpyAttach" if "event" in message:
                    self._attach(body)
                case "stopped":
                    thread = body["threadId"]
                    connection.request("stackTrace", threadId=thread, levels=1)
                case "stackTrace":
                    session.files.append(body["stackFrames"][0]["source"]["path"])
                    if len(session.files) == self._steps:
                        connection.request("setBreakpoints", **self._breakpoint | {"breakpoints": []})
                    is_over = len(session.files) >= self._steps
                    connection.request("continue" if is_over else "stepIn", threadId=thread)


class _Connection:
    """A connection to the debugger's adapter."""

    def __init__(self, address: tuple[str, int]) -> None:
        wait_until(lambda: self._connect(address), what="the debugger")
        self._requests = 0

    def _connect(self, address: tuple[str, int]) -> bool:
        """Connect if the adapter listens. It takes a connection that sends nothing for a client, too."""
        try:
            connected = socket.create_connection(address)
        except ConnectionRefusedError:
            return False
        self._stream = connected.makefile("rwb")
        connected.close()  # the stream keeps it open
        return True

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def request(self, command: str, **arguments: Any) -> None:
        self._requests += 1
        request = {"seq": self._requests, "type": "request", "command": command, "arguments": arguments}
        content = json.dumps(request).encode()
        self._stream.write(b"Content-Length: %d\r\n\r\n%b" % (len(content), content))
        self._stream.flush()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield the events and responses until the debugger closes the connection."""
        length = 0
        while line := self._stream.readline():
            name, _, value = line.partition(b":")
            if name == b"Content-Length":
                length = int(value)
            elif line == b"\r\n":
                yield json.loads(self._stream.read(length))
