"""What processes write to standard output and standard error is in the recording, and where it went before."""

from __future__ import annotations

from pathlib import Path

from rerun_mp.encoding.rrd_files import is_complete
from rerun_mp.integrations.output_reader.reading import MAX_UNFINISHED, PIECE_BYTES, Lines
from tests.conftest import RunPython
from tests.harness.programs import wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.servers import saved_rows

PROGRAMS = Path(__file__).with_name("programs")


def test_the_recording_has_what_every_process_writes(run_python: RunPython, tmp_path: Path) -> None:
    path, gate = tmp_path / "run.rrd", tmp_path / "gate"
    done = run_python(PROGRAMS / "output.py", path, gate).check()
    verify(path)
    rows = sorted(rows_of(path), key=lambda row: row.times["log_time"])
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.entity_path.startswith("said/"):
            said.setdefault(row.entity_path, []).append(row.components["TextLog:text"].as_py()[0])
    *printed, writers = done.stdout.splitlines()
    pid, forked, spawned = writers.split()[1:]
    assert said.pop(f"said/{pid}/stderr") == ["from standard error"]
    lines = said.pop(f"said/{pid}/stdout")
    assert lines[:3] == ["from Python", "30 %", "from C"]
    assert lines[-2:] == ["after the reader's death", "without an end"]
    for worker in (forked, spawned):
        assert said.pop(f"said/{worker}/stdout") == ["worker 1", "C in worker 1"]
    assert said.popitem()[1] == ["from a shell"]
    assert not said
    assert done.stderr == "from standard error\n"
    assert printed[:2] == ["before", "from Python"]
    assert printed[-3:] == ["after the reader's death", "without an end", "after"]
    assert {"from C", "C in worker 1", "from a shell"} <= set(printed)

    # A process that outlives the program is captured, too. Its line is read when the file is complete again.
    gate.touch()
    wait_until(lambda: saved_rows(path).total() > len(rows) and is_complete(path), what="the line of the shell")
    verify(path)
    assert texts_of(path).count("late") == 1


CLOSED = """
import os, sys
import rerun_mp as rr
from rerun_mp.integrations.output import capture_output

rr.init("rerun_mp_output")
rr.save(sys.argv[1])
reading, writing = os.pipe()
os.dup2(writing, 1)
os.close(writing)
os.close(reading)
with capture_output():
    for number in range(3):
        print(number, flush=True)
"""


def test_the_recording_has_the_lines_that_a_closed_pipe_does_not_take(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(CLOSED, path).check()
    assert texts_of(path) == ["0", "1", "2"]


def texts_of(path: Path) -> list[str]:
    """Return all texts of a recording."""
    return [row.components["TextLog:text"].as_py()[0] for row in rows_of(path) if "TextLog:text" in row.components]


def test_pieces_become_lines() -> None:
    lines = Lines()
    assert lines.add(1, b"on") == []
    assert lines.add(2, b"two\n\nthr") == [(2, "two")]
    assert lines.add(1, b"e\r\n") == [(1, "one")]
    assert lines.add(1, b"x" * (PIECE_BYTES + 1)) == [(1, "x" * PIECE_BYTES)]
    assert lines.finish() == [(2, "thr"), (1, "x")]
    assert lines.finish() == []
    for pid in range(MAX_UNFINISHED):
        assert lines.add(pid, b".") == []
    assert lines.add(MAX_UNFINISHED, b".") == [(0, ".")]
