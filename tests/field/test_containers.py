"""Containers that share home and temporary directory, but not /dev/shm, leave each other's sessions alone."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.containers import in_container, may_contain
from tests.harness.programs import COMMAND
from tests.harness.recordings import rows_of, verify

pytestmark = [
    pytest.mark.real_collectors,
    pytest.mark.skipif(not may_contain(), reason="this user may not create namespaces"),
]

PROGRAM = """
import sys
import rerun_mp as rr
name, path, *events = sys.argv[1:]
rr.init("rerun_mp_contained")
rr.save(path)
for step in range(100):
    rr.log(name, rr.Scalars(float(step)))
rr.flush()
print("stored", flush=True)
for event in events:
    open(event).read()
for step in range(100, 200):
    rr.log(name, rr.Scalars(float(step)))
rr.flush()
statistics = rr.statistics()
print(statistics.logged, statistics.delivered, flush=True)
"""


def program(directory: Path) -> Path:
    path = directory / "contained.py"
    path.write_text(PROGRAM)
    return path


def test_an_init_in_one_container_does_not_recover_the_living_session_of_another(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """Neither does it say anything. The session's own rows all arrive, as its statistics say."""
    source, go_on = program(tmp_path), tmp_path / "go_on"
    os.mkfifo(go_on)
    living, *arguments = in_container(source, "living", tmp_path / "living.rrd", go_on)
    first = start_python(Path(living), *arguments)
    first.wait_for_output("stored")
    for number in range(2):
        later, *arguments = in_container(source, "later", tmp_path / f"later-{number}.rrd")
        assert run_python(Path(later), *arguments).check().stderr == ""
    assert run_python(COMMAND, "recover").check().stdout == "nothing is left to recover\n"
    go_on.write_bytes(b"x")
    done = first.wait().check()
    assert done.stderr == ""
    assert done.stdout.split() == ["stored", "200", "200"]
    for path, name in ((tmp_path / "living.rrd", "living"), (tmp_path / "later-0.rrd", "later")):
        verify(path)
        assert Counter(row.entity_path for row in rows_of(path)) == {name: 200}


def test_what_a_killed_container_has_stored_is_recovered(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """By the explicit command, if no container with the same number of /dev/shm has done so before."""
    source, go_on, path = program(tmp_path), tmp_path / "go_on", tmp_path / "killed.rrd"
    os.mkfifo(go_on)
    command, *arguments = in_container(source, "killed", path, go_on)
    killed = start_python(Path(command), *arguments)
    killed.wait_for_output("stored")
    killed.end()
    later, *arguments = in_container(source, "later", tmp_path / "later.rrd")
    assert run_python(Path(later), *arguments).check().stderr == ""
    run_python(COMMAND, "recover").check()
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {"killed": 100}
    assert run_python(COMMAND, "recover").check().stdout == "nothing is left to recover\n"


READ_ONLY = """\
mount -t tmpfs none /dev/shm && mount --bind "$1" /mnt && mount -o remount,bind,ro / || exit
! touch /tmp/x 2>/dev/null || exit
shift
exec "$@"
"""
IN_A_READ_ONLY_CONTAINER = f"""
import os, sys
output, *command = sys.argv[1:]
os.execvp("unshare", ["unshare", "-rm", "sh", "-c", {READ_ONLY!r}, "sh", output, sys.executable, *command])
"""


def test_a_container_whose_root_is_read_only_has_a_session(run_python: RunPython, tmp_path: Path) -> None:
    """It may write to a mount for its output and to /dev/shm, and has neither home nor temporary directory."""
    missing = dict.fromkeys(("TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"))
    command = (tmp_path, program(tmp_path), "inside", "/mnt/run.rrd")
    done = run_python(IN_A_READ_ONLY_CONTAINER, *command, env={**missing, "HOME": "/nonexistent"}).check()
    assert done.stdout.split() == ["stored", "200", "200"]
    assert done.stderr == ""
    verify(tmp_path / "run.rrd")
    assert Counter(row.entity_path for row in rows_of(tmp_path / "run.rrd")) == {"inside": 200}
