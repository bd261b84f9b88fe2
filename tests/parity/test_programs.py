"""`rerun rrd compare` finds no difference between the files that one program writes with rerun and with rerun_mp."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import rerun
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rerun_mp.compat import versions
from tests.conftest import RunPython
from tests.harness.recordings import RERUN_BINARY
from tests.harness.rerun_names import RrdReader
from tests.parity.archetypes import UNSERIALISABLE, ways
from tests.parity.programs import catalogue

RUNNER = Path(catalogue.__file__)
PACKAGES = ("rerun", "rerun_mp")
OWN_FRAME = re.compile(r'\\n(?:\\n)?File "[^"]*/(?:rerun_sdk|(?:site|dist)-packages)/rerun/[^"]*", line \d+, in \w+')
"""A frame in rerun's code, in a stack of a value that is shown as text."""


def compare(run_python: RunPython, directory: Path, *arguments: Path) -> int:
    """Run the programs with both packages, compare their files, and return the number of files."""
    for package in PACKAGES:
        (directory / package).mkdir()
        for asset in ("asset.obj", "asset.wav", "asset.mp4", "asset.png"):
            (directory / asset).write_bytes(b"asset")
        run_python(RUNNER, package, directory / package, *arguments, timeout=120.0).check()
    names = sorted(path.name for path in (directory / "rerun").iterdir())
    assert names == sorted(path.name for path in (directory / "rerun_mp").iterdir())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        differences = [found for found in pool.map(lambda name: difference(directory, name), names) if found]
    assert not differences, "\n".join(differences)
    return len(names)


def difference(directory: Path, name: str) -> str | None:
    """Return the difference between the two files. Both are optimised first, because chunks may begin anywhere."""
    paths = []
    for package in PACKAGES:
        paths.append(directory / package / f"{name}.optimised")
        made = rerun_rrd("optimize", directory / package / name, "-o", paths[-1])
        # rerun-sdk 0.33 cannot optimise a stream of video that is none.
        assert not made.returncode or catalogue.RELEASE < versions.NEWEST, made.stderr
    done = rerun_rrd("compare", "--unordered", *paths)
    if not done.returncode:
        return None
    # A sweep may end within a program, and what is optimised depends on where the chunks begin, also for rerun: see
    # `test_what_rerun_optimises_depends_on_its_flushes`.
    theirs, ours = (content(directory / package / name) for package in PACKAGES)
    if theirs == ours:
        return None
    missing, more = Counter(theirs), Counter(ours)
    missing.subtract(ours)
    more.subtract(theirs)
    return f"{name}: missing {sorted((+missing).elements())}, more {sorted((+more).elements())}; {done.stderr}"


def content(path: Path) -> list[str]:
    """Return all values with their row's times and their column's metadata, sorted; of static ones only the latest."""
    found: list[str] = []
    latest: dict[str, tuple[bytes, str]] = {}
    for chunk in RrdReader(path).stream():
        batch = chunk.to_record_batch()
        columns: dict[bytes, list[tuple[pa.Field, pa.Array]]] = {b"control": [], b"index": [], b"data": []}
        for field, column in zip(batch.schema, batch.columns, strict=True):
            columns[field.metadata[b"rerun:kind"]].append((field, column))
        times = {field.name: column.cast(pa.int64()).to_pylist() for field, column in columns[b"index"]}
        # Before 0.34 each row has a tick, also where several threads or a warning count.
        measured = ("log_time", "log_tick") if catalogue.RELEASE < (0, 34) else ("log_time",)
        times |= {name: [0] * batch.num_rows for name in times if name in measured}
        ((_, row_ids),) = columns[b"control"]
        entity = batch.schema.metadata[b"rerun:entity_path"]
        for field, column in columns[b"data"]:
            metadata = sorted((key, value) for key, value in field.metadata.items() if key != b"rerun:is_sorted")
            name = f"{entity!r} {metadata} {field.type}"
            for number, value in enumerate(column.to_pylist()):
                if value is None:
                    continue
                point = sorted((timeline, values[number]) for timeline, values in times.items())
                if times:
                    found.append(f"{name} {point} {value}")
                elif name not in latest or latest[name][0] < row_ids[number].as_py():
                    latest[name] = (row_ids[number].as_py(), str(value))
    values = [*found, *(f"{name} static {value}" for name, (_, value) in latest.items())]
    # The stack of a logged warning may begin in rerun's own code, and with rerun_mp it begins at the user's line.
    return sorted(OWN_FRAME.sub("", value) for value in values)


def rerun_rrd(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `rerun rrd`."""
    return subprocess.run([RERUN_BINARY, "rrd", *arguments], capture_output=True, text=True, check=False)


def test_every_archetype_is_made_with_every_argument() -> None:
    """A new one of rerun's wants to be compared too."""
    made = ways(rerun)
    assert sorted(made) == sorted(rerun.archetypes.__all__)
    for name, calls in made.items():
        parameters = {f"{name}.{one}" for one in inspect.signature(getattr(rerun.archetypes, name)).parameters}
        missing = parameters - {f"{name}.{argument}" for call in calls for argument in call} - UNSERIALISABLE
        # An older release may have had an argument that is gone.
        assert not missing or catalogue.RELEASE < versions.NEWEST


def test_programs_write_the_same_with_both(run_python: RunPython, tmp_path: Path) -> None:
    is_newest = catalogue.RELEASE == versions.NEWEST
    assert compare(run_python, tmp_path) >= (80 if is_newest else 75)


REDONE = """
import sys
import rerun as rr
from tests.parity.programs.catalogue import PROGRAMS
name, path, every = sys.argv[1], sys.argv[2], int(sys.argv[3])
rr.init("rerun_example_parity", recording_id=name, send_properties=False)
rr.save(path)
log, calls = rr.log, 0
def log_and_flush(*arguments, **options):
    global calls
    log(*arguments, **options)
    calls += 1
    if every and calls % every == 1:
        rr.get_global_data_recording().flush()
rr.log = log_and_flush
PROGRAMS[name](rr)
"""


@pytest.mark.parametrize(("name", "every"), [("poses_beside_boxes", 1000), ("images_row_by_row", 4)])
def test_what_rerun_optimises_depends_on_its_flushes(
    name: str, every: int, run_python: RunPython, tmp_path: Path
) -> None:
    """So two optimised files may differ, although both have the same rows; `difference` looks at the rows, then."""
    paths = [tmp_path / f"{flushes}.rrd" for flushes in (0, every)]
    for path, flushes in zip(paths, (0, every), strict=True):
        run_python(REDONE, name, path, str(flushes), env={"RERUN_FLUSH_TICK_SECS": "1000"}).check()
        rerun_rrd("optimize", path, "-o", path.with_suffix(".optimised")).check_returncode()
    assert rerun_rrd("compare", "--unordered", *(path.with_suffix(".optimised") for path in paths)).returncode
    theirs, flushed = map(content, paths)
    assert theirs == flushed


STEPS = st.one_of(
    st.tuples(st.just("log"), st.sampled_from(sorted(ways(rerun))), st.integers(0, 2), st.booleans(), st.booleans()),
    st.tuples(st.just("set_time"), st.sampled_from(("sequence", "duration", "timestamp")), st.integers(0, 9)),
    st.tuples(
        st.just("send_columns"), st.sampled_from(("sequence", "duration")), st.lists(st.integers(0, 9), min_size=1)
    ),
    st.tuples(st.just("disable_timeline"), st.sampled_from(("sequence", "duration", "timestamp"))),
    st.tuples(st.just("reset_time")),
)


def check_generated(run_python: RunPython, tmp_path: Path, examples: int) -> None:
    """Compare generated programs `examples` times, 20 programs in each process."""

    @settings(
        max_examples=examples,
        database=None,
        suppress_health_check=list(HealthCheck),
        deadline=None,
        phases=[Phase.generate],  # a program that differs is short enough, and shrinking it would take minutes
    )
    @given(st.lists(st.lists(STEPS, min_size=5, max_size=60), min_size=20, max_size=20))
    def check(generated: list[list[tuple[Any, ...]]]) -> None:
        directory = Path(tempfile.mkdtemp(dir=tmp_path))
        (directory / "generated.json").write_text(json.dumps(generated))
        compare(run_python, directory, directory / "generated.json")

    check()


def test_generated_programs_write_the_same_with_both(run_python: RunPython, tmp_path: Path) -> None:
    check_generated(run_python, tmp_path, examples=2)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_generated_programs_write_the_same_with_both(run_python: RunPython, tmp_path: Path) -> None:
    check_generated(run_python, tmp_path, examples=50)
