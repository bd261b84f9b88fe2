"""A sink that a child sets takes what the child and its descendants log from then on, besides the founder's sinks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import count_rows, verify

FAMILY = """
import multiprocessing, os, signal, sys
import rerun_mp as rr

method, place = sys.argv[1:]
ROWS = 20

def log(name):
    # Rows of tables and of frames.
    for step in range(ROWS):
        rr.log(name, rr.Scalars(float(step)))
    rr.log(name, rr.AnyValues(last=True))

def start(function, *args):
    process = multiprocessing.get_context(method).Process(target=function, args=args)
    process.start()
    process.join()

def grandchild(place):
    log("grandchild")

def inner(place):
    rr.save(f"{place}/inner.rrd")
    log("inner")

def child(place):
    log("child/before")
    rr.save(f"{place}/child.rrd")
    log("child/after")
    if multiprocessing.current_process().daemon is False:
        start(grandchild, place)
        start(inner, place)
    log("child/last")
    os.kill(os.getpid(), signal.SIGKILL)

def sibling(place):
    log("sibling")

if __name__ == "__main__":
    rr.init("rerun_mp_scope")
    rr.save(f"{place}/whole.rrd")
    log("founder")
    start(child, place)
    start(sibling, place)
    print(sorted(sink.target for sink in rr.statistics().sinks), flush=True)
"""
ALL = 21


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_childs_file_has_what_it_and_its_descendants_log(
    method: str, run_python: RunPython, tmp_path: Path, place: Path
) -> None:
    run_python(FAMILY, method, tmp_path).check()
    for name in ("whole", "child", "inner"):
        verify(tmp_path / f"{name}.rrd")
    names = ("founder", "child/before", "child/after", "grandchild", "inner", "child/last", "sibling")
    assert count_rows(tmp_path / "whole.rrd") == dict.fromkeys(names, ALL)
    assert count_rows(tmp_path / "child.rrd") == dict.fromkeys(
        ("child/after", "grandchild", "inner", "child/last"), ALL
    )
    assert count_rows(tmp_path / "inner.rrd") == {"inner": ALL}


SHARED = """
import multiprocessing, os, sys
import rerun_mp as rr

def work(number, path):
    rr.save(path)
    for step in range(100):
        rr.log(f"worker/{number}", rr.Scalars(float(step)))

if __name__ == "__main__":
    whole, shared, other = sys.argv[1:]
    rr.init("rerun_mp_scope")
    rr.save(whole)
    rr.log("founder", rr.Scalars(0.0))
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(number, shared)) for number in range(3)]
    workers.append(context.Process(target=work, args=(3, whole)))
    workers.append(context.Process(target=work, args=(4, other)))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # The founder's from here on: all of the recording.
    rr.save(other)
    rr.log("founder", rr.Scalars(1.0))
"""


def test_siblings_share_a_file_and_the_founder_takes_one_over(run_python: RunPython, tmp_path: Path) -> None:
    whole, shared, other = (tmp_path / f"{name}.rrd" for name in ("whole", "shared", "other"))
    run_python(SHARED, whole, shared, other).check()
    for path in (whole, shared, other):
        verify(path)
    assert count_rows(shared) == {f"worker/{number}": 100 for number in range(3)}
    assert count_rows(whole) == {**{f"worker/{number}": 100 for number in range(5)}, "founder": 1}
    assert count_rows(other) == {"founder": 1}


def test_a_recording_that_a_child_begins_is_wholly_its_own(run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "own.rrd"
    run_python(
        """
        import os, sys
        import rerun_mp as rr

        rr.init("rerun_mp_scope")
        if os.fork() == 0:
            rr.init("rerun_mp_scope_own")
            rr.log("before", rr.Scalars(0.0))
            rr.save(sys.argv[1])
            rr.log("after", rr.Scalars(0.0))
            rr.disconnect()
            os._exit(0)
        os.wait()
        """,
        path,
    ).check()
    verify(path)
    assert count_rows(path) == {"before": 1, "after": 1}


def test_threads_that_log_while_their_process_sets_its_first_sink_lose_nothing(
    run_python: RunPython, tmp_path: Path
) -> None:
    whole, own = tmp_path / "whole.rrd", tmp_path / "own.rrd"
    printed = run_python(
        """
        import os, sys, threading
        import numpy as np
        import rerun_mp as rr

        whole, own = sys.argv[1:]
        rr.init("rerun_mp_scope")
        rr.save(whole)
        if os.fork() == 0:
            started = threading.Barrier(4)
            is_set = threading.Event()
            image = np.zeros((480, 640), np.uint8)
            logged = [0, 0, 0]

            def work(number):
                archetypes = [rr.Scalars(1.0), rr.AnyValues(value=1), rr.Image(image)]
                rr.log(f"thread/{number}", archetypes[number])
                started.wait()
                after = 0
                while after < 5:
                    after += is_set.is_set()
                    rr.log(f"thread/{number}", archetypes[number])
                    logged[number] += 1

            threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
            for thread in threads:
                thread.start()
            started.wait()
            rr.save(own)
            is_set.set()
            for thread in threads:
                thread.join()
            rr.get_global_data_recording().flush()
            print(*logged, flush=True)
            assert min(logged) >= 5
            os._exit(0)
        assert os.wait()[1] == 0
        """,
        whole,
        own,
    ).check()
    found = count_rows(whole)
    assert [found[f"thread/{number}"] - 1 for number in range(3)] == [int(n) for n in printed.stdout.split()]
    own_rows = count_rows(own)
    assert min(own_rows[f"thread/{number}"] for number in range(3)) >= 5, own_rows


def test_a_killed_collector_repeats_a_scopes_rows_once(run_python: RunPython, tmp_path: Path) -> None:
    whole, own = tmp_path / "whole.rrd", tmp_path / "own.rrd"
    printed = run_python(
        """
        import os, signal, sys
        import rerun_mp as rr
        from rerun_mp.session import current
        from rerun_mp.shm.layout import Header

        whole, own = sys.argv[1:]
        rr.init("rerun_mp_scope")
        rr.save(whole)
        if os.fork() == 0:
            rr.save(own)
            words = current.session().segment.ring.words
            killed, rows = [0], 0
            while len(killed) < 6:
                for step in range(500):
                    rr.log("child", rr.Scalars(float(step)))
                rows += 500
                if words[Header.WORKER_PID] != killed[-1]:
                    killed.append(words[Header.WORKER_PID])
                    os.kill(killed[-1], signal.SIGKILL)
            print(rows, flush=True)
            os._exit(0)
        assert os.wait()[1] == 0
        """,
        whole,
        own,
    ).check()
    for path in (whole, own):
        verify(path)
        assert count_rows(path) == {"child": int(printed.stdout)}
