"""The names of the parts of a file that rotates, and the list of those that are complete."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
from itertools import islice
from pathlib import Path

import pytest

import rerun_mp as rr
from rerun_mp.session.rotation import (
    ClosedPart,
    PartList,
    add_to_part_list,
    closed_parts,
    number_of,
    part_list_path,
    part_paths,
    read_part_list,
)
from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify


def closed(path: Path, number: int) -> ClosedPart:
    part = path.with_suffix(f".{number:04}.rrd")
    return ClosedPart(str(part), number, "app", "recording", "host", "0123456789abcdef", 7, 4096, number)


@pytest.mark.parametrize("wrong", [{"bytes": 5}, {"bytes": 1e9}, {"seconds": 0}, {"seconds": "1h"}, {"keep_parts": 0}])
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(rr.InvalidArgumentError, match=next(iter(wrong))):
        rr.Rotation(**wrong)  # type: ignore[arg-type]


def test_a_rotation_is_immutable_and_can_be_pickled() -> None:
    one = rr.Rotation(bytes=1 << 20, seconds=60)
    assert pickle.loads(pickle.dumps(one)) == one != rr.Rotation(bytes=1 << 20)
    with pytest.raises(AttributeError, match="frozen"):
        one.bytes = 5
    with pytest.raises(TypeError, match="rotate"):
        rr.FileSink("run.rrd", rotate=60)  # type: ignore[arg-type]


def test_names_follow_the_highest_number_there(tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    for name in ("run.0003.rrd", "run.12345.rrd", "run.7.rrd", "other.99999.rrd", "run.0004.txt"):
        (tmp_path / name).touch()
    names = [Path(name).name for _, name in islice(part_paths(str(path)), 2)]
    assert names == ["run.12346.rrd", "run.12347.rrd"]
    assert number_of(str(tmp_path / names[0])) == 12346


def test_the_list_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    for number in (1, 2):
        add_to_part_list(str(path), closed(path, number))
    with open(part_list_path(str(path)), "ab") as file:
        file.write(b'{"number": 3, "fi')
    add_to_part_list(str(path), closed(path, 3))
    assert rr.parts(path) == closed_parts(str(path)) == [closed(path, number) for number in (1, 2, 3)]


def test_a_list_that_was_overwritten_names_no_part_and_no_file_of_others(tmp_path: Path) -> None:
    """A collector that cannot read the list would not start again, and it removes the files that the list names."""
    path = tmp_path / "run.rrd"
    others = ["/etc/hostname", "../run.0001.rrd", "other.0001.rrd", "run.rrd", 5]
    part = {**closed(path, 2)._asdict(), "file": "run.0002.rrd"}
    del part["path"]
    lines = [
        b"RRF2\xf8\xff\x00",
        b"[" * 100_000,
        b'{"removed_parts": 1e999, "removed_rows": 0, "removing": []}',
        *(json.dumps({**part, "file": name}).encode() for name in others),
        json.dumps({**part, "rows": "7"}).encode(),
        json.dumps({"removed_parts": 1, "removed_rows": 2, "removing": ["run.0001.rrd", *others[:4]]}).encode(),
        json.dumps(part).encode(),
    ]
    Path(part_list_path(str(path))).write_bytes(b"\n".join(lines))
    content = read_part_list(str(path))
    assert content == PartList([closed(path, 2)], 1, 2, [str(tmp_path / "run.0001.rrd")])


@pytest.mark.parametrize("order", [0, 1])
def test_a_file_that_rotates_and_others_have_all_rows_each(order: int, run_python: RunPython, tmp_path: Path) -> None:
    """Whichever the program names first, and although it sets one more while it logs."""
    run_python(
        """
        import sys
        import rerun_mp as rr
        rr.init("x")
        order, directory = sys.argv[1:]
        files = [
            rr.FileSink(f"{directory}/parts.rrd", rotate=rr.Rotation(bytes=1 << 20)),
            rr.FileSink(f"{directory}/whole.rrd"),
        ]
        if order == "1":
            files.reverse()
        rr.set_sinks(*files)
        for step in range(4):
            if step == 2:
                rr.set_sinks(rr.FileSink(f"{directory}/hours.rrd", rotate=rr.Rotation()), *files)
            for number in range(300):
                rr.set_time("step", sequence=300 * step + number)
                rr.log("x", rr.Scalars(float(number)))
            rr.next_episode()
        """,
        str(order),
        tmp_path,
    ).check()
    expected = {"parts": range(1200), "hours": range(600, 1200), "whole": range(1200)}
    for name, steps in expected.items():
        found = sorted(tmp_path.glob(f"{name}*.rrd"))
        assert len(found) == {"parts": 4, "hours": 2, "whole": 1}[name]
        for path in found:
            verify(path)
        assert [row.times["step"] for path in found for row in rows_of(path)] == list(steps)


LOCKED = """\
    import sys
    import rerun_mp as rr
    rr.init("rerun_mp_locked")
    rr.set_sinks(rr.FileSink(sys.argv[1], rotate=rr.Rotation()))
    for number in range(2):
        rr.log("row", rr.Scalars(float(number)))
        rr.next_episode()
"""


def test_a_lock_of_another_program_on_the_directory_keeps_no_part_open(run_python: RunPython, tmp_path: Path) -> None:
    """`flock DIRECTORY COMMAND`, usual in crontabs, holds such a lock for as long as the command runs."""
    path = tmp_path / "run.rrd"
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        done = run_python(LOCKED, path).check()
    finally:
        os.close(directory)
    assert done.stderr == ""
    assert [part.number for part in closed_parts(str(path))] == [1, 2]
