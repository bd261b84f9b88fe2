"""Programs of several processes, as rerun's documentation has them, with nothing changed but the import line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.servers import Server
from tests.harness.viewers import free_port

PROGRAMS = Path(__file__).with_name("programs")

TASKS = PROGRAMS / "tasks_with_init.py"


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_every_process_names_application_and_viewer_again(
    method: str, run_python: RunPython, tmp_path: Path, place: Path
) -> None:
    """They are one recording and one sink, and each row is there once."""
    server = Server(tmp_path / "served.rrd", free_port())
    try:
        server.wait_until_listening()
        printed = run_python(TASKS, method, server.url).check().stdout
        expected = {"log": 5, "task_0": 1, "task_1": 2, "task_2": 3, "task_3": 4}
        wait_until(lambda: server.rows() == expected, what="the rows of all processes")
    finally:
        server.end()
    ids = printed.splitlines()
    assert len(ids) == 5
    assert len(set(ids)) == 1


def test_properties_and_names_from_forked_children(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    run_python(
        """
        import os, sys
        import rerun_mp as rr

        def in_child(function):
            if os.fork() == 0:
                function()
                os._exit(0)
            assert os.wait()[1] == 0

        rr.init("rerun_mp_properties")
        rr.save(sys.argv[1])
        in_child(lambda: rr.send_property("situation", rr.AnyValues(weather="rain")))
        in_child(lambda: rr.send_recording_name("a name"))
        in_child(lambda: rr.get_data_recording().send_recording_start_time_nanos(17))
        """,
        path,
    ).check()
    verify(path)
    rows = rows_of(path, properties=True)
    values = {name: value.as_py() for row in rows for name, value in row.components.items()}
    assert values["weather"] == ["rain"]
    assert values["RecordingInfo:name"] == ["a name"]
    assert values["RecordingInfo:start_time"] == [17]
    assert all(row.times == {} for row in rows)


def test_times_belong_to_threads_and_go_to_children_and_tasks(run_python: RunPython, tmp_path: Path) -> None:
    """A thread begins without any, a forked child with its parent's; tasks and generators share their thread's."""
    path = tmp_path / "run.rrd"
    run_python(
        PROGRAMS / "inherited_times.py",
        path,
    ).check()
    times = {row.entity_path: {k: v for k, v in row.times.items() if k != "log_time"} for row in rows_of(path)}
    assert times == {
        "thread/before": {},
        "thread/after": {"thread": 2},
        "thread/child": {"thread": 2},
        "child/inherits": {"main": 1},
        "child/changes": {"main": 5},
        "main/keeps": {"main": 1},
        "generator/0": {"main": 1, "generator": 0},
        "main/generators": {"main": 1, "generator": 0},
        **{f"task/{number}": {"main": 1, "task": 2} for number in range(3)},
        "main/end": {"main": 1, "task": 2},
    }


LIBRARY = """
import rerun

def work(number):
    rerun.set_time("number", sequence=number)
    rerun.log(f"library/{number % 3}", rerun.Scalars(number))
"""


def test_a_library_that_says_import_rerun_logs_in_the_workers_of_pools(run_python: RunPython, tmp_path: Path) -> None:
    """So does the handle of a recording that is sent there."""
    (tmp_path / "library.py").write_text(LIBRARY)
    path = tmp_path / "run.rrd"
    run_python(
        """
        import multiprocessing, sys
        sys.path.insert(0, sys.argv[2])
        import library
        import rerun_mp as rr

        def work(recording, number):
            library.work(number)
            recording.log("handle", rr.Scalars(number))

        if __name__ == "__main__":
            rr.init("rerun_mp_pool")
            rr.save(sys.argv[1])
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(2) as pool:
                    pool.starmap(work, [(rr.get_data_recording(), number) for number in range(30)])
        """,
        path,
        tmp_path,
    ).check()
    found = Counter(row.entity_path for row in rows_of(path))
    assert found == {"library/0": 20, "library/1": 20, "library/2": 20, "handle": 60}
