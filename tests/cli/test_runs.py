"""`rerun-mp runs` says of each recording what it is and how it ended."""

from __future__ import annotations

import json
from pathlib import Path

from rerun_mp.encoding.rrd_files import HEADER_SIZE, Message, MessageKind, messages_at
from tests.cli.commands import call
from tests.conftest import RunPython

PROGRAM = """
import os, signal, sys
import rerun_mp as rr
rr.init(sys.argv[1])
rr.save(sys.argv[2])
if os.fork() == 0:
    rr.log("worker", rr.Scalars(1.0))
    if sys.argv[3] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)
os.wait()
rr.log("program", rr.Scalars(1.0))
"""


def test_runs_lists_recordings_with_the_latest_first(run_python: RunPython, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "deep").mkdir(parents=True)
    run_python(PROGRAM, "first", runs / "first.rrd", "end").check()
    run_python(PROGRAM, "second", runs / "deep" / "second.rrd", "kill").check()
    content = (runs / "first.rrd").read_bytes()
    last_chunk = max(message.start for message in chunks_in(runs / "first.rrd"))
    (runs / "cut.rrd").write_bytes(content[: last_chunk + 20])
    (runs / "empty.rrd").touch()
    (runs / "none.rrd").write_bytes(b"no recording")
    listed = call("runs", runs, "--json")
    assert listed.returncode == 1, "one recording cannot be read"
    found = {Path(run["path"]).name: run for run in json.loads(listed.stdout)}
    first, second = found["first.rrd"], found["second.rrd"]
    assert (first["application"], first["rows"], first["entities"], first["ended"]) == ("first", 2, 2, "complete")
    assert first["crashes"] == []
    assert 0 <= first["duration_secs"] < 60
    assert "SIGKILL" in second["crashes"][0]
    assert second["started_ns"] > first["started_ns"]
    cut, empty = found["cut.rrd"], found["empty.rrd"]
    assert (cut["application"], cut["rows"], cut["ended"], cut["failure"]) == ("first", 1, "cut off", "")
    assert (empty["ended"], empty["failure"]) == ("empty", ""), "a run has taken the path a moment ago"
    assert found["none.rrd"]["failure"]
    shown = call("runs", runs, env={"COLUMNS": "80"}).stdout
    assert "deep/second.rrd: " in shown
    assert max(map(len, shown.splitlines())) <= 80
    order = [line for line in shown.splitlines() if "complete" in line]
    assert "second" in order[0]
    assert "first" in order[1]


def chunks_in(path: Path) -> list[Message]:
    """Return the chunks of a file."""
    with path.open("rb") as file:
        return [one for one in messages_at(file.fileno(), HEADER_SIZE) if one.kind == MessageKind.CHUNK]


def test_an_empty_directory_has_no_runs(tmp_path: Path) -> None:
    assert "no .rrd files" in call("runs", tmp_path).stdout
    assert call("runs", tmp_path / "missing").returncode == 2
