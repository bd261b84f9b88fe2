"""Messages larger than a slot or the ring arrive whole or not at all, however their process dies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

PROGRAMS = Path(__file__).with_name("programs")

PROGRAM = """
import os, signal, sys
import numpy as np
import rerun_mp as rr

rr.init("rerun_mp_large")
rr.save(sys.argv[1])
sizes = [int(size) for size in sys.argv[2:]]
child = os.fork()
if child == 0:
    for turn in range(3):
        for size in sizes:
            image = np.random.default_rng(size + turn).integers(0, 255, (size, size), np.uint8)
            rr.log(f"image/{size}/{turn}", rr.Image(image))
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize("ring_bytes", [64 << 20, 4 << 20], ids=["64 MiB", "4 MiB"])
def test_images_of_every_size_arrive_whole(ring_bytes: int, run_python: RunPython, tmp_path: Path) -> None:
    """Images in a slot (100 kB), in a chain (1 MB) and through a file (25 MB) arrive byte for byte."""
    import numpy as np

    path = tmp_path / "out.rrd"
    sizes = (300, 1000, 5000)
    environment = {"RERUN_MP_RING_BYTES": str(ring_bytes)}
    run_python(PROGRAM, path, *map(str, sizes), env=environment, timeout=90.0).check()
    verify(path)
    rows = rows_of(path)
    assert sorted(row.entity_path for row in rows) == sorted(
        f"image/{size}/{turn}" for size in sizes for turn in range(3)
    )
    for row in rows:
        _, size, turn = row.entity_path.split("/")
        expected = np.random.default_rng(int(size) + int(turn)).integers(0, 255, (int(size), int(size)), np.uint8)
        buffer = row.components["Image:buffer"].values[0].values
        assert np.array_equal(buffer.to_numpy(), expected.reshape(-1))


def test_an_interrupt_in_the_middle_costs_that_row_alone(run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 9: a KeyboardInterrupt anywhere in a chain frees its slots, and logging goes on.

    Each chain takes 17 of 80 slots. If they were not freed, no slot would be free after some interrupts.
    """
    path = tmp_path / "out.rrd"
    environment = {"RERUN_MP_RING_BYTES": str(5 << 20)}
    done = run_python(PROGRAMS / "interrupted_chains.py", path, env=environment).check()
    returned, interrupted = map(int, done.stdout.split())
    verify(path)
    paths = [row.entity_path for row in rows_of(path)]
    assert (paths.count("warm"), paths.count("last")) == (1, 1)
    # A call that was interrupted after the commit has its row in the file.
    assert returned <= paths.count("image") <= returned + interrupted


CONTENDING = """
import os, sys
import numpy as np
import rerun_mp as rr

rr.init("rerun_mp_contending")
rr.save(sys.argv[1])
# Each image takes seven of the 32 slots, nearly the maximum of one message.
image = rr.Image(np.zeros((420, 1000), np.uint8))
children = []
for number in range(16):
    child = os.fork()
    if child == 0:
        for step in range(10):
            rr.log(f"image/{number}", image)
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_many_messages_of_a_quarter_of_the_ring_all_arrive(run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 9: sixteen processes together need more slots than exist. None waits while it holds slots."""
    path = tmp_path / "out.rrd"
    environment = {"RERUN_MP_RING_BYTES": str(2 << 20)}
    run_python(CONTENDING, path, env=environment).check()
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {f"image/{number}": 10 for number in range(16)}


MANY_ENTITIES = """
import sys
import rerun_mp as rr

rr.init("rerun_mp_entities")
rr.save(sys.argv[1])
scalar, text = rr.Scalars(1.0), rr.TextLog("text")
for step in range(2):
    rr.set_time("step", sequence=step)
    for number in range(int(sys.argv[2])):
        rr.log(f"a/path/of/29/bytes/each/{number:05}", scalar)
        rr.log(f"a/path/of/30/bytes/each/{number:05}t", text)
"""


def test_thousands_of_entities_need_more_space_than_a_slot_and_arrive(run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 26: 3,000 paths of 29 bytes take 93,000 bytes, and a slot has 65,536. Further tables take the rest."""
    path, entities = tmp_path / "out.rrd", 3000
    environment = {"RERUN_MP_RING_BYTES": str(4 << 20), "RERUN_MP_SLOT_BYTES": str(64 << 10)}
    run_python(MANY_ENTITIES, path, str(entities), env=environment).check()
    verify(path)
    counts = Counter(row.entity_path for row in rows_of(path))
    names = [f"a/path/of/29/bytes/each/{number:05}" for number in range(entities)]
    names += [f"a/path/of/30/bytes/each/{number:05}t" for number in range(entities)]
    assert counts == dict.fromkeys(names, 2)


def test_a_removed_cache_stays_private_when_it_is_made_anew(run_python: RunPython, tmp_path: Path) -> None:
    """The first row needs a file in the session's directory there. Other programs refuse a directory open to others."""
    code = """
import os, shutil, sys
import numpy as np
import rerun_mp as rr
rr.init("rerun_mp_large")
rr.save(sys.argv[1])
base = os.environ["XDG_CACHE_HOME"] + "/rerun_mp"
shutil.rmtree(base)
rr.log("image", rr.Image(np.zeros((3000, 3000), np.uint8)))
print(f"{os.stat(base).st_mode & 0o777:o}")
"""
    done = run_python(code, tmp_path / "out.rrd", env={"RERUN_MP_RING_BYTES": str(4 << 20)}).check()
    assert done.stdout == "700\n"
    assert [row.entity_path for row in rows_of(tmp_path / "out.rrd")] == ["image"]
