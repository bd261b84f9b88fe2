"""gevent replaces `os.fork`, `os.waitpid`, threads and `select`, before or after rerun_mp is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import Row
from tests.harness.requirements import need_field

ROWS = 10
PATCH = "from gevent import monkey; monkey.patch_all()\n"
PROGRAM = f"""
import os, sys
import gevent
import rerun_mp as rr
PLACE_OF_PATCH
rr.init("rerun_mp_gevent")
rr.save(sys.argv[1])

def log(name):
    for number in range({ROWS}):
        rr.log(name, rr.Scalars(number))
        gevent.sleep(0)

gevent.joinall([gevent.spawn(log, f"greenlet/{{number}}") for number in range(3)])
pid = os.fork()
if pid == 0:
    log("child")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.real_collectors
@pytest.mark.parametrize("is_patched_before", [True, False])
def test_rows_of_greenlets_and_forked_children_arrive(
    is_patched_before: bool, run_python: RunPython, tmp_path: Path, rows_of: Callable[..., list[Row]]
) -> None:
    need_field("gevent")
    path = tmp_path / "run.rrd"
    before, after = (PATCH, "") if is_patched_before else ("", PATCH)
    program = before + PROGRAM.replace("PLACE_OF_PATCH", after)
    done = run_python(program, path, fresh=True).check()
    assert done.stderr == ""
    counts = Counter(row.entity_path for row in rows_of(path))
    assert counts == {"child": ROWS, **{f"greenlet/{number}": ROWS for number in range(3)}}
