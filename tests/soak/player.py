"""A process of a mixed episode: it does what the driver (`mixed.py`) says, one command after the other.

Arguments: a directory, and the process's name. The process connects to the driver's socket in the directory, and so
does each process that it forks or spawns. Commands and answers are lines of JSON. The process stores the number of the
last row of each returned call in a file, so that the driver knows which rows of a killed process must be there.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import rerun_mp as rr
import rerun_mp.blueprint as rrb
from rerun_mp.session import current

__all__ = ["APPLICATION", "SOCKET", "main", "returned_path"]

APPLICATION = "rerun_mp_mixed"
SOCKET = "driver.socket"
COLUMNS = 4
"""Rows of a call of `send_columns`."""


def returned_path(directory: Path, name: str) -> Path:
    """Return the path of the file with the number of the next row. The calls of all rows before it have returned."""
    return directory / f"{name}.returned"


class Player:
    """One process."""

    def __init__(self, directory: Path, name: str, recordings: dict[str, Any]) -> None:
        self.directory = directory
        self.name = name
        self.recordings = recordings
        path = returned_path(directory, name)
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self.returned = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(str(directory / SOCKET))
        self.lines = self.connection.makefile("rw", encoding="utf-8")
        self.lines.write(f"{name} {os.getpid()}\n")
        self.lines.flush()
        self.children: list[subprocess.Popen[bytes]] = []

    def play(self) -> None:
        """Do commands until the driver has no more, or says `exit`."""
        for line in self.lines:
            command = json.loads(line)
            if command["do"] == "exit":
                break
            try:
                answer = getattr(self, f"do_{command.pop('do')}")(**command)
            except rr.RerunMpError as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            self.lines.write(json.dumps(answer) + "\n")
            self.lines.flush()
        for child in self.children:
            child.wait()

    def stream(self, rec: str) -> Any:
        """Return the recording with this id."""
        if rec not in self.recordings:
            self.recordings[rec] = rr.RecordingStream(APPLICATION, recording_id=rec)
        return self.recordings[rec]

    def do_open(self, rec: str) -> None:
        """Make a recording known."""
        self.stream(rec)

    def do_log(self, rec: str, calls: list[tuple[str, str, int]]) -> None:
        """Log rows: (entity, kind, number of the call's first row)."""
        stream = self.stream(rec)
        for entity, kind, number in calls:
            rr.set_time("n", sequence=number, recording=stream)
            rows = 1
            if kind == "scalar":
                rr.log(entity, rr.Scalars(float(number)), recording=stream)
            elif kind == "text":
                rr.log(entity, rr.TextLog(f"row {number}"), recording=stream)
            elif kind == "points":
                rr.log(entity, rr.Points3D(np.zeros((20, 3), np.float32)), recording=stream)
            elif kind == "large":
                rr.log(entity, rr.Image(np.zeros((200, 300, 3), np.uint8)), recording=stream)
            elif kind == "static":
                rr.log(entity, rr.Scalars(float(number)), static=True, recording=stream)
            else:
                rows = COLUMNS
                times = rr.TimeColumn("n", sequence=range(number, number + rows))
                values = np.arange(number, number + rows, dtype=float)
                rr.send_columns(entity, [times], rr.Scalars.columns(scalars=values), recording=stream)
            self.returned[0] = number + rows

    def do_property(self, rec: str, name: str, number: int) -> None:
        """Send a property of the recording."""
        self.stream(rec).send_property(name, rr.AnyValues(number=number))

    def do_blueprint(self, rec: str, *, active: bool, name: str) -> None:
        """Send a blueprint."""
        blueprint = rrb.Blueprint(rrb.TimeSeriesView(name=name))
        rr.send_blueprint(blueprint, make_active=active, make_default=not active, recording=self.stream(rec))

    def do_sinks(self, rec: str, sinks: list[dict[str, Any]], *, default: bool = False) -> None:
        """Set sinks; no sinks: disconnect."""
        stream = self.stream(rec)
        if not sinks:
            rr.disconnect(stream)
            return
        blueprint = rrb.Blueprint(rrb.TextLogView()) if default else None
        rr.set_sinks(*map(_sink, sinks), default_blueprint=blueprint, recording=stream)

    def do_checkpoint(self, rec: str) -> None:
        """Make the files complete for readers."""
        with self.stream(rec):
            pass

    def do_snapshot(self, rec: str, path: str) -> None:
        """Write a snapshot."""
        rr.snapshot(path, recording=self.stream(rec))

    def do_episode(self, rec: str) -> None:
        """End the present parts."""
        rr.next_episode(self.stream(rec))

    def do_pause(self, rec: str) -> None:
        """Pause."""
        rr.pause(self.stream(rec))

    def do_resume(self, rec: str) -> None:
        """Go on after a pause."""
        rr.resume(self.stream(rec))

    def do_flush(self) -> None:
        """Wait until all rows are stored."""
        rr.flush()

    def do_look(self) -> None:
        """Do what the next row would do: start a collector if guard and worker were killed one after the other."""
        joined = current.session()
        assert joined is not None
        joined.watch_collector()

    def do_statistics(self) -> dict[str, Any]:
        """Return the session's accounts."""
        rr.flush()
        found = rr.statistics()
        names = ("logged", "stored", "held_back", "dropped", "refused")
        return {name: getattr(found, name) for name in names} | {"sinks": [one._asdict() for one in found.sinks]}

    def do_fork(self, name: str) -> None:
        """Fork a child, which does commands as well."""
        if os.fork() == 0:
            self.lines.close()
            self.connection.close()
            status = 1
            try:
                Player(self.directory, name, self.recordings).play()
                status = 0
            finally:
                if status:
                    import traceback

                    traceback.print_exc()
                rr.flush()
                os._exit(status)

    def do_spawn(self, name: str) -> None:
        """Start a child that inherits nothing but the environment."""
        command = [sys.executable, __file__, str(self.directory), name]
        self.children.append(subprocess.Popen(command))


def _sink(values: dict[str, Any]) -> Any:
    if values["kind"] == "grpc":
        rules = [rr.Rule(path="cut/**", off=True)] if values.get("rules") else None
        return rr.GrpcSink(values["url"], rules=rules)
    rotate = None if values.get("rotate") is None else rr.Rotation(**values["rotate"])
    rules = None
    if values.get("rules"):
        rules = [rr.Rule(path="cut/**", off=True), rr.Rule(path="third/**", every=3)]
    return rr.FileSink(values["path"], rotate=rotate, mode=values.get("mode", "new"), rules=rules)


def main() -> None:
    """Play."""
    directory, name = sys.argv[1:]
    if name.startswith("founder"):
        rr.init(APPLICATION, recording_id=f"{name}-0")
        recordings = {f"{name}-0": rr.get_data_recording()}
    else:
        recordings = {}
    Player(Path(directory), name, recordings).play()


if __name__ == "__main__":
    main()
