"""Uncaught exceptions of processes, threads and tasks are in the recording, and on stderr as before."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

PROGRAMS = Path(__file__).with_name("programs")


def test_exceptions_of_processes_threads_and_tasks(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    ended = run_python(
        PROGRAMS / "exceptions.py",
        path,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("ValueError: in a process") == 1
    assert ended.stderr.count("ValueError: in a thread") == 1
    assert ended.stderr.count("ValueError: in the program") == 1
    verify(path)
    texts = [row.components["TextLog:text"].as_py()[0] for row in rows_of(path)]
    for what in ("in a process", "in a thread", "in a task", "in the program"):
        assert sum(f"ValueError: {what}" in text for text in texts) == 1, texts
    assert len(texts) == 4
    assert next(text for text in texts if "in a process" in text).startswith("child: Traceback")
