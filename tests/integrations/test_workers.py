"""Who logged a row can be seen: by a prefix, by a row of its own, by lines and exceptions of all processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import count_rows, rows_of, verify


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_prefixes_and_components_say_who_logged(method: str, run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    printed = run_python(
        """
        import multiprocessing, os, sys
        import numpy as np
        import rerun_mp as rr
        from rerun_mp.integrations.pools import initialize

        def mine(greeting):
            rr.log("initialized", rr.TextLog(greeting))

        def work(number):
            loss = rr.series("loss")
            for step in range(10):
                rr.log("number", rr.Scalars(1.0))
                loss(1.0)
                rr.log(["my image"], rr.Image(np.zeros((9, 9), np.uint8)))
                rr.log("any", rr.AnyValues(a=1))
            rr.send_columns("columns", [rr.TimeColumn("step", sequence=[1, 2])], rr.Scalars.columns(scalars=[1, 2]))
            return os.getpid()

        if __name__ == "__main__":
            rr.init("rerun_mp_workers")
            rr.save(sys.argv[1])
            rr.log("number", rr.Scalars(0.0))
            context = multiprocessing.get_context(sys.argv[2])
            with context.Pool(2, initialize, ("workers/{rank}", mine, ("hello",))) as pool:
                print(*pool.map(work, range(4), chunksize=1))
        """,
        path,
        method,
    ).check()
    verify(path)
    counts = count_rows(path)
    of_workers = {name: rows for name, rows in counts.items() if name.startswith("workers/")}
    assert {name.split("/")[1] for name in of_workers} <= {"1", "2"}
    total: dict[str, int] = {}
    for name, rows in of_workers.items():
        key = name.split("/", 2)[2]
        total[key] = total.get(key, 0) + rows
    ranks = len({name.split("/")[1] for name in of_workers if name.endswith("initialized")})
    assert total == {"number": 40, "loss": 40, "my\\ image": 40, "any": 40, "columns": 8, "initialized": ranks}
    assert counts["number"] == 1
    processes = {name.split("/")[1]: rows for name, rows in counts.items() if name.startswith("processes/")}
    assert {int(pid) for pid in printed.stdout.split()} <= {int(pid) for pid in processes}
    (row, *_) = [row for row in rows_of(path) if row.entity_path.strip("/").startswith("processes/")]
    assert {name.rpartition(":")[2] for name in row.components} == {"rank", "pid", "host", "name"}


def test_a_prefix_can_be_taken_back_and_a_wrong_one_is_told(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(
        """
        import sys
        import rerun_mp as rr
        from rerun_mp.integrations.workers import identify, this_worker

        rr.init("rerun_mp_workers")
        rr.save(sys.argv[1])
        for prefix in (None, "a b/{rank}".replace(" ", ""), "c", None):
            identify(prefix=prefix, log=False, rank=7)
            for _ in range(3):
                rr.log("x", rr.Scalars(1.0))
            rr.send_property("note", rr.AnyValues(text=str(prefix)))
        try:
            identify(prefix="{nobody}")
        except ValueError as error:
            assert "{nobody}" in str(error) and "rank" in str(error)
        else:
            raise AssertionError
        assert this_worker(3).rank == 3
        """,
        path,
    ).check()
    counts = count_rows(path)
    assert {name: counts[name] for name in ("x", "ab/7/x", "c/x")} == {"x": 6, "ab/7/x": 3, "c/x": 3}
    properties = {row.entity_path for row in rows_of(path, properties=True) if "note" in row.entity_path}
    assert {one.strip("/") for one in properties} == {"__properties/note"}


def test_lines_say_their_level_and_process(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(
        """
        import logging, os, sys
        import rerun_mp as rr
        from rerun_mp.integrations.logs import capture_logging

        rr.init("rerun_mp_lines")
        rr.save(sys.argv[1])
        capture_logging("first")
        capture_logging("lines", level=logging.INFO)
        logger = logging.getLogger("my.app")
        logger.debug("not logged")
        logger.warning("%s of %d", "one", 2)
        try:
            1 / 0
        except ZeroDivisionError:
            logger.exception("it failed")
        logging.raiseExceptions = False
        logger.info("%d", "no number")
        if os.fork() == 0:
            logger.log(25, "from a child")
            os._exit(0)
        os.wait()
        """,
        path,
    ).check()
    rows = [row for row in rows_of(path) if row.entity_path.strip("/") == "lines/my/app"]
    assert len(rows) == len(rows_of(path)) == 3
    said = [(row.components["TextLog:level"].as_py()[0], row.components["TextLog:text"].as_py()[0]) for row in rows]
    assert said[0] == ("WARN", "one of 2")
    assert said[1][0] == "ERROR"
    assert "ZeroDivisionError" in said[1][1]
    assert said[2] == ("Level 25", "from a child")


def test_exceptions_of_processes_threads_and_tasks(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    ended = run_python(
        """
        import multiprocessing, sys, threading
        import rerun_mp as rr
        from rerun_mp.integrations.exceptions import capture_exceptions, logs_exceptions

        def raises(text):
            raise ValueError(text)

        @logs_exceptions
        def task(text):
            raises(text)

        rr.init("rerun_mp_exceptions")
        rr.save(sys.argv[1])
        capture_exceptions("errors")
        process = multiprocessing.get_context("fork").Process(target=raises, args=("in a process",), name="child")
        process.start()
        process.join()
        thread = threading.Thread(target=raises, args=("in a thread",))
        thread.start()
        thread.join()
        with multiprocessing.get_context("fork").Pool(1) as pool:
            try:
                pool.apply(task, ("in a task",))
            except ValueError:
                pass
        leaves = multiprocessing.get_context("fork").Process(target=sys.exit, args=(3,))
        leaves.start()
        leaves.join()
        raises("in the program")
        """,
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


def test_a_child_with_an_environment_of_its_own_joins(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(
        """
        import os, subprocess, sys
        import rerun_mp as rr
        from rerun_mp.integrations.launchers import environment
        try:
            environment()
        except rr.SessionError as error:
            assert "rerun_mp.init()" in str(error)
        rr.init("rerun_mp_launcher")
        rr.save(sys.argv[1])
        code = (
            "import rerun_mp as rr; from rerun_mp.integrations.workers import identify;"
            "rr.log('a', rr.Scalars(float(identify().rank)))"
        )
        names = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path), "RANK": "5"}
        subprocess.run([sys.executable, "-c", code], env={**names, **environment()}, check=True)
        """,
        path,
    ).check()
    (row,) = [row for row in rows_of(path) if row.entity_path.strip("/") == "a"]
    assert row.components["Scalars:scalars"].as_py() == [5.0]
