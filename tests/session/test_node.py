"""Where a node keeps its parts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rerun_mp.errors import ResourceError
from rerun_mp.session.config import NodeSpec, SessionConfig
from rerun_mp.session.node import close_parts, open_directory, with_node
from rerun_mp.session.rotation import ClosedPart, add_to_part_list, part_list_path
from rerun_mp.shipping.parts import NODES, parts_below
from tests.conftest import RunPython
from tests.harness.leftovers import Machine

NONCE = bytes(32)


@pytest.mark.parametrize("mode", [0o1777, 0o755])
def test_users_that_share_a_directory_of_parts_do_not_keep_each_other_out(tmp_path: Path, mode: int) -> None:
    """The first one makes the directory of the open parts, in which each session has a private one."""
    parts = tmp_path / "parts"
    parts.mkdir()
    parts.chmod(mode)
    node = NodeSpec("host", ship_to=str(tmp_path), parts=str(parts), part_bytes=4096, part_seconds=60.0)
    with_node(SessionConfig(), node, NONCE)
    own = Path(open_directory(node, NONCE))
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (own.parent, own)] == [mode, 0o700]


def test_a_session_whose_parts_have_no_place_is_an_error_of_init_and_leaves_nothing(
    run_python: RunPython, place: Path, tmp_path: Path
) -> None:
    parts, before = str(tmp_path / "runs"), Machine.snapshot(place)
    done = run_python(
        "import rerun_mp as rr\nrr.init('rerun_mp_node')",
        env={"RERUN_MP_SHIP_TO": parts, "RERUN_MP_PARTS_DIRECTORY": parts},
    )
    assert done.returncode == 1
    assert "or one that parts go to" in done.stderr
    assert before.leftovers().segments == []


def test_a_directory_that_cannot_be_made_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    node = NodeSpec("host", ship_to=str(tmp_path / "runs"), parts=str(tmp_path / "file/parts"))
    with pytest.raises(ResourceError, match=r"file/parts for this host's parts \(RERUN_MP_PARTS_DIRECTORY\) cannot"):
        with_node(SessionConfig(), node, NONCE)


@pytest.mark.parametrize("ship_to", ["parts", "http://head:9877"])
def test_parts_may_not_wait_where_they_go_to(ship_to: str, tmp_path: Path) -> None:
    """The shipper would find them there, and remove them as shipped."""
    parts = tmp_path / "parts"
    if "://" in ship_to:
        (parts / NODES).mkdir(parents=True)  # as a head does
    else:
        ship_to = f"{tmp_path}/./{ship_to}"
    with pytest.raises(ResourceError, match="is the directory of a head, or one that parts go to"):
        with_node(SessionConfig(), NodeSpec("host", ship_to=ship_to, parts=str(parts)), NONCE)


def test_each_line_of_a_part_list_is_read_once(tmp_path: Path) -> None:
    """Otherwise each part of a long run would cost as much as all parts before it."""
    node = NodeSpec("host", ship_to=str(tmp_path / "runs"), parts=str(tmp_path), part_bytes=4096, part_seconds=60.0)
    with_node(SessionConfig(), node, NONCE)
    listed, ends = os.path.join(open_directory(node, NONCE), "part.rrd"), dict[str, int]()

    def add(number: int) -> Path:
        path = Path(listed).with_name(f"part.{number:04}.rrd")
        path.touch()
        add_to_part_list(listed, ClosedPart(str(path), number, "app", "one", "host", "session", 10, 0, 0))
        return path

    first = add(1)
    close_parts(node.parts, ends)
    first.touch()
    with open(part_list_path(listed), "ab") as file:
        file.write(b'{"cut off')
    add(2)
    close_parts(node.parts, ends)
    close_parts(node.parts, ends)
    assert first.exists()
    assert [part.number for part, _ in parts_below(node.parts)] == [1, 2]
    close_parts(node.parts)
    assert not first.exists()
