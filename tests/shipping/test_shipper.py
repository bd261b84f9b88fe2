"""A shipper brings each closed part to its target once, and removes it here only then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rerun_mp.errors import ResourceError
from rerun_mp.shipping.accounts import node_accounts
from rerun_mp.shipping.parts import (
    OPEN,
    PartName,
    close_part,
    node_directory,
    parts_below,
    parts_url,
    write_end,
    write_target,
)
from rerun_mp.shipping.shipper import PartTotals, Shipper, drop_oldest, unshipped_in
from rerun_mp.shipping.targets import DirectoryTarget
from tests.harness.programs import ROOT, wait_until
from tests.shipping.test_receiver import TOKEN, head


def add_part(root: Path, target: Path | str, number: int, *, size: int = 1000, node: str = "host-0011") -> bytes:
    """Close a part with ten rows, and return its content."""
    content, open_ = os.urandom(size), root / "open.rrd"
    root.mkdir(exist_ok=True)
    open_.write_bytes(content)
    directory = node_directory(root, "app-00", node)
    write_target(directory, str(target))
    close_part(open_, directory, 10, number)
    return content


def contents(root: Path) -> dict[str, bytes]:
    """Return path and content of each part below a directory."""
    return {part.path: path.read_bytes() for part, path in parts_below(root)}


def test_parts_go_where_their_nodes_say(tmp_path: Path) -> None:
    root, one, other = (tmp_path / name for name in ("parts", "one", "other"))
    first = [add_part(root, one, number) for number in (1, 2)]
    second = add_part(root, other, 1, node="host-0022")
    shipper = Shipper(root, "")
    assert shipper.ship()
    assert shipper.shipped == PartTotals(3, 30, 3000)
    assert list(contents(one).values()) == first
    assert list(contents(other).values()) == [second]
    assert list(root.iterdir()) == []
    assert shipper.ship()


def test_a_shipper_of_one_target_leaves_the_parts_of_others(tmp_path: Path) -> None:
    root, one, other = (tmp_path / name for name in ("parts", "one", "other"))
    add_part(root, one, 1)
    add_part(root, other, 1, node="host-0022")
    assert Shipper(root, "", str(one)).ship()
    assert unshipped_in(root) == unshipped_in(root, str(other)) == PartTotals(1, 10, 1000)


def test_a_target_that_is_away_keeps_no_part_from_another(tmp_path: Path) -> None:
    root, one = tmp_path / "parts", tmp_path / "one"
    (tmp_path / "file").touch()
    add_part(root, tmp_path / "file", 1, node="host-0000")
    add_part(root, one, 1)
    shipper = Shipper(root, "")
    assert not shipper.ship()
    assert "takes no part" in (shipper.failure or "")
    assert unshipped_in(root).parts == 1
    assert len(contents(one)) == 1


def test_a_killed_shipper_leaves_no_half_part(tmp_path: Path) -> None:
    """It is killed in the middle of a copy. The next one ships the part."""
    root, one = tmp_path / "parts", tmp_path / "one"
    content = add_part(root, one, 1, size=5 << 20)
    code = """
import sys, time
from rerun_mp.shipping.shipper import Shipper
def stop_in_the_middle():
    global looks
    looks += 1
    if looks == 3:
        print("in the middle", flush=True)
        time.sleep(60)
    return True
looks = 0
Shipper(sys.argv[1], "").ship(stop_in_the_middle)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, cwd=ROOT) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        assert not Shipper(root, "").ship(), "the part is locked"
        killed.kill()
    assert contents(one) == {}
    assert len(list(one.glob("*/*/.*.partial"))) == 1
    assert Shipper(root, "").ship()
    assert list(contents(one).values()) == [content]
    assert list(one.glob("*/*/.*.partial")) == []


def test_a_part_that_is_there_is_not_copied_again(tmp_path: Path) -> None:
    root, one = tmp_path / "parts", tmp_path / "one"
    content = add_part(root, one, 1)
    part, path = parts_below(root)[0]
    DirectoryTarget(str(one)).store(part, path, lambda: True)
    before = (one / part.path).stat().st_ino
    assert Shipper(root, "").ship()
    assert (one / part.path).stat().st_ino == before
    add_part(root, one, 1, size=7)
    with pytest.raises(ResourceError, match="is another file"):
        DirectoryTarget(str(one)).store(*parts_below(root)[0], lambda: True)
    assert contents(one) == {part.path: content}


def test_the_oldest_parts_go_when_there_are_too_many_bytes(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    for number in range(1, 5):
        add_part(root, tmp_path / "away", number)
        os.utime(parts_below(root)[-1][1], (number, number))
    assert drop_oldest(root, 2500) == PartTotals(2, 20, 2000)
    assert [part.number for part, _ in parts_below(root)] == [3, 4]
    assert drop_oldest(root, 0).parts == 1, "the newest one stays"


WITHOUT_LOCKS = """
import os, sys
from rerun_mp.shipping.shipper import Shipper
from tests.field.programs.sandboxed import refuse
refuse(32 if os.uname().machine == "aarch64" else 73, 0, None)
looks = 0
def stop_in_the_middle():
    global looks
    looks += 1
    if looks == 2:
        print("in the middle", flush=True)
        sys.stdin.readline()
    return True
shipper = Shipper(sys.argv[1], "")
print(shipper.ship(stop_in_the_middle), shipper.failure)
print(shipper.ship(), shipper.failure)
"""
"""The system call flock fails, as on NFS without its lock daemon."""


def test_two_shippers_without_locks_bring_a_part_once(tmp_path: Path) -> None:
    """One copies the part while another brings it whole. It finds the part there at its next attempt."""
    root, one = tmp_path / "parts", tmp_path / "one"
    content = add_part(root, one, 1)
    pipe, command = subprocess.PIPE, [sys.executable, "-c", WITHOUT_LOCKS, str(root)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, text=True) as slow:
        assert slow.stdout is not None
        slow.stdout.readline()
        assert len(list(one.glob("*/*/.*.partial"))) == 1
        quick = subprocess.run(command, input="\n", capture_output=True, cwd=ROOT, text=True, check=True)
        assert quick.stdout.splitlines() == ["in the middle", "True None", "True None"]
        first, second = slow.communicate("\n")[0].splitlines()
    assert "takes no part" in first
    assert second == "True None"
    assert list(contents(one).values()) == [content]
    assert list(one.glob("*/*/.*")) == []


STRANGER = """
import os, shutil, sys  # Python's own modules may lie where only root may read
from rerun_mp.cli import nodes, ship
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(ship.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_parts_of_another_user_are_named(place: Path) -> None:
    """This user may read one of them and not the other. A third part is this user's own."""
    root, one = place / "parts", place / "one"
    one.mkdir()
    os.chown(one, 65534, 65534)
    for number, node in enumerate(("mine-0011", "read-0022", "shut-0033")):
        add_part(root, one, number + 1, node=node)
    paths = {part.node[:4]: path for part, path in parts_below(root)}
    os.chown(paths["mine"].parent, 65534, 65534)
    paths["shut"].chmod(0o600)
    place.chmod(0o711)

    def ship() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", STRANGER, str(root)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    done = ship()
    assert (done.returncode, done.stdout) == (1, "shipped 2 parts with 20 rows\n")
    assert f"{paths['shut']} cannot be read: Permission denied" in done.stderr
    paths["shut"].unlink()
    done = ship()
    assert done.returncode == 0
    assert f"{paths['read']} is at {one}, but cannot be removed here: Permission denied" in done.stderr
    assert {part.node for part, _ in parts_below(one)} == {"mine-0011", "read-0022"}
    root.chmod(0o700)
    done = ship()
    assert done.returncode == 2
    assert f"user 65534 may not read {root}; run this as its owner" in done.stderr


def test_the_command_ships_and_says_what_is_left(tmp_path: Path) -> None:
    root, one = tmp_path / "parts", tmp_path / "one"
    add_part(root, one, 1)
    command = [sys.executable, "-m", "rerun_mp", "ship", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "shipped 1 parts with 10 rows\n"
    (tmp_path / "file").touch()
    add_part(root, tmp_path / "file", 2)
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert f"1 parts with 10 rows are still in {root}" in done.stderr


def test_parts_for_a_mistyped_head_can_be_shipped_to_another(tmp_path: Path) -> None:
    root, one = tmp_path / "parts", tmp_path / "one"
    add_part(root, tmp_path / "mistyped", 1)
    command = [sys.executable, "-m", "rerun_mp", "ship", str(root), str(one)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "shipped 0 parts with 0 rows\n"
    assert f"1 parts with 10 rows in {root} go to other targets. Add --all" in done.stderr
    done = subprocess.run([*command, "--all"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert (done.stdout, done.stderr) == ("shipped 1 parts with 10 rows\n", "")
    assert len(contents(one)) == 1
    assert unshipped_in(root).parts == 0


def test_a_shipper_tries_again_until_the_target_is_back(tmp_path: Path) -> None:
    root, away = tmp_path / "parts", tmp_path / "away"
    away.touch()
    add_part(root, away, 1)
    command = [sys.executable, "-m", "rerun_mp", "ship", str(root), "--for=60", "--quiet"]
    with subprocess.Popen(command, cwd=ROOT) as shipper:
        away.unlink()
        wait_until(lambda: shipper.poll() is not None, what="the shipper")
    assert shipper.returncode == 0
    assert len(contents(away)) == 1


def test_a_shipper_that_follows_ships_what_comes_until_it_is_told_to_end(tmp_path: Path) -> None:
    """The last part comes right before the signal, as a container's last part does."""
    root, one = tmp_path / "parts", tmp_path / "one"
    (root / OPEN / "host-0011").mkdir(parents=True)  # as long as a session lives, its node's directory stays
    command = [sys.executable, "-m", "rerun_mp", "ship", str(root), "--follow"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as shipper:
        for number in (1, 2):
            add_part(root, one, number)
            wait_until(lambda number=number: len(contents(one)) == number, what="the part")  # type: ignore[misc]
        add_part(root, one, 3)
        shipper.terminate()
        assert shipper.communicate(timeout=60)[0] == "shipped 3 parts with 30 rows\n"
    assert shipper.returncode == 0
    assert len(contents(one)) == 3


def test_accounts_tell_what_has_come(tmp_path: Path) -> None:
    root, one = tmp_path / "parts", tmp_path / "one"
    add_part(root, one, 1)
    DirectoryTarget(str(one)).note("app-00", "host-0011", {"state": "ended", "stored": 10, "host": "host"})
    DirectoryTarget(str(one)).note("app-00", "mute-0022", {"state": "running", "stored": 5, "host": "mute"})
    Shipper(root, "").ship()
    found = {account.host: (account.state, account.acknowledged, account.missing) for account in node_accounts(one)}
    assert found == {"host": ("ended", 10, 0), "mute": ("running", 0, 5)}


def test_the_target_learns_of_an_end_when_it_is_back(tmp_path: Path) -> None:
    """The node's last word waits beside its parts, and goes after them."""
    root, one = tmp_path / "parts", tmp_path / "one"
    one.touch()  # a file takes no part
    add_part(root, one, 1)
    write_end(node_directory(root, "app-00", "host-0011"), {"state": "ended", "stored": 10, "host": "host"})
    shipper = Shipper(root, "")
    assert not shipper.ship()
    drop_oldest(root, 0)
    one.unlink()
    assert shipper.ship()
    assert [(account.state, account.missing) for account in node_accounts(one)] == [("ended", 0)]
    assert list(root.iterdir()) == []


def test_the_command_says_that_only_the_report_of_an_end_is_left(tmp_path: Path) -> None:
    root, one = tmp_path / "parts", tmp_path / "one"
    one.touch()
    directory = node_directory(root, "app-00", "host-0011")
    write_target(directory, str(one))
    write_end(directory, {"state": "ended", "stored": 10, "host": "host"})
    command = [sys.executable, "-m", "rerun_mp", "ship", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert f"all parts of {root} have been shipped, but the head does not know" in done.stderr


def test_a_node_whose_clock_is_wrong_is_seen_by_the_time_of_its_file(tmp_path: Path) -> None:
    said = {"state": "running", "stored": 5, "host": "mute", "time_ns": 0}
    DirectoryTarget(str(tmp_path)).note("app-00", "mute-0022", said)
    assert [account.state for account in node_accounts(tmp_path)] == ["running"]
    (file,) = tmp_path.glob(".nodes/*/*.json")
    os.utime(file, (0, file.stat().st_mtime - 60))
    assert [account.state for account in node_accounts(tmp_path)] == ["silent"]


@pytest.mark.parametrize(
    ("head", "receiver"),
    [
        ("rerun+http://head:9876/proxy", "http://head:9877"),
        ("rerun+https://head:443/proxy", "https://head:444"),
        ("rerun://head:9876/proxy", "https://head:9877"),
        ("rerun+http://[::1]:9876/proxy", "http://[::1]:9877"),
    ],
)
def test_parts_go_to_the_port_after_that_of_the_live_view(head: str, receiver: str) -> None:
    """They are encrypted if the live view is."""
    assert parts_url(head) == receiver


@pytest.mark.parametrize("path", ["", "a/b", "a/b/c/0001-1-rows.rrd", "a/b/1-1-rows.rrd", "a/b/0001-rows.rrd"])
def test_other_paths_name_no_part(path: str) -> None:
    with pytest.raises(ValueError, match="is not the path of a part"):
        PartName.parse(path)


@pytest.mark.parametrize("kind", ["a directory", "a head"])
def test_parts_are_not_removed_where_they_are_to_be_kept(kind: str, tmp_path: Path) -> None:
    """The directory where the parts wait is also the one that they go to."""
    root = tmp_path / "parts"
    root.mkdir()
    with head(root) as url:
        content = add_part(root, url if kind == "a head" else root, 1)
        shipper = Shipper(root, TOKEN)
        assert not shipper.ship()
        shipper.close()
    assert list(contents(root).values()) == [content]
    assert "director" in (shipper.failure or "")


def test_a_part_that_is_refused_keeps_no_other_from_the_target(tmp_path: Path) -> None:
    """A copy of the second part was cut off at the target."""
    root, one = tmp_path / "parts", tmp_path / "one"
    for number in (1, 2, 3):
        add_part(root, one, number)
    cut = one / parts_below(root)[1][0].path
    cut.parent.mkdir(parents=True)
    cut.write_bytes(b"cut off")
    shipper = Shipper(root, "")
    assert not shipper.ship()
    assert f"{cut} is another file" in (shipper.failure or "")
    assert [part.number for part, _ in parts_below(root)] == [2]
    cut.unlink()
    assert shipper.ship()
    assert [part.number for part, _ in parts_below(one)] == [1, 2, 3]
