"""Links are cut, heads and hosts are killed: each stored row comes to the head once, and what is not there is named."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.field.held import held
from tests.harness.programs import wait_until
from tests.hosts.conftest import MakeHosts
from tests.hosts.faults import run
from tests.hosts.head import Head
from tests.hosts.test_head import script, start_rank

__all__ = ["script"]

IMAGES = """
import numpy as np
import rerun_mp as rr
rr.init("rerun_mp_container")
image = np.zeros((1024, 1024), np.uint8)
for step in range(100):
    rr.set_time("step", sequence=step)
    rr.log("rank/0", rr.Image(image))
"""
"""Logs more bytes than the shared memory of a container has."""

MAX_CALL_SECS = 1.0
"""A call that waits for the head sleeps for seconds."""

pytestmark = pytest.mark.usefixtures("make_hosts")


def test_a_cut_link_at_the_end_loses_nothing(make_hosts: MakeHosts, script: Path, tmp_path: Path) -> None:
    """The program names what is left. A shipper goes on without it, and is there when the link is."""
    machines = make_hosts(2)
    head, gate = Head(machines[0], tmp_path / "runs"), tmp_path / "gate"
    with held(gate):
        rank = start_rank(machines[1], script, 1, 1, "0", "1000", gate, env=head.environment)
        wait_until(lambda: "stored" in rank.stdout and head.nodes(), what="the rows")
        machines[1].cut()
    rank.check()
    assert "1 parts with" in rank.stderr
    assert "rows of this host are not at http://host1:9877 yet" in rank.stderr
    assert f"rerun-mp ship {machines[1].place}" in rank.stderr
    assert [node.state for node in head.nodes()] in (["running"], ["silent"]), "the end may take a busy machine long"
    machines[1].restore()
    wait_until(lambda: [(node.parts, node.state) for node in head.nodes()] == [(1, "ended")], what="the shipper")
    assert head.rows(tmp_path / "merged.rrd") == {"rank/1": 1000}


def test_the_next_run_ships_what_is_left(make_hosts: MakeHosts, script: Path, tmp_path: Path) -> None:
    """The head is away for the whole first run, and no shipper outlives it."""
    machines = make_hosts(2)
    environment = {**Head.environment, "RERUN_MP_SHIP_TIMEOUT": "0"}
    first = start_rank(machines[1], script, 1, 1, "0", "100", env=environment).check()
    assert "1 parts with" in first.stderr
    head = Head(machines[0], tmp_path / "runs")
    start_rank(machines[1], script, 1, 1, "100", "100", env=Head.environment).check()
    # A busy machine may leave the parts to the shipper, and the program then says so.
    wait_until(lambda: [node.parts for node in head.nodes()] == [1, 1], what="the parts of both runs")
    assert head.rows(tmp_path / "merged.rrd") == {"rank/1": 200}


def test_a_head_that_was_killed_gets_all_rows(make_hosts: MakeHosts, script: Path, tmp_path: Path) -> None:
    machines = make_hosts(2)
    head, gate = Head(machines[0], tmp_path / "runs"), tmp_path / "gate"
    with held(gate):
        rank = start_rank(machines[1], script, 1, 1, "0", "1000", gate, env=head.environment)
        wait_until(lambda: "stored" in rank.stdout, what="the rows")
        head.end()
        head.start()
    rank.check()
    wait_until(lambda: sum(node.acknowledged for node in head.nodes()) == 1000, what="the rows at the head")
    assert head.rows(tmp_path / "merged.rrd") == {"rank/1": 1000}


def test_a_host_that_was_killed_ships_its_rows_when_it_is_back(
    make_hosts: MakeHosts, script: Path, tmp_path: Path
) -> None:
    machines = make_hosts(2)
    head, gate = Head(machines[0], tmp_path / "runs"), tmp_path / "gate"
    with held(gate):
        rank = start_rank(machines[1], script, 1, 1, "0", "1000", gate, env=head.environment)
        wait_until(lambda: "stored" in rank.stdout, what="the rows")
        machines[1].kill()
    machines[1].boot()
    recovered = machines[1].start(sys.executable, "-m", "rerun_mp", "recover").check().stdout
    assert f" rows, in {machines[1].place}/home/.local/share/rerun_mp/parts/rerun_mp_hosts-" in recovered
    machines[1].start(sys.executable, "-m", "rerun_mp", "ship", env=head.environment).check()
    assert head.rows(tmp_path / "merged.rrd") == {"rank/1": 1000}
    assert [(node.state, node.stored, node.acknowledged) for node in head.nodes()] == [("ended", 1000, 1000)]
    assert not list((machines[1].place / "home/.local/share/rerun_mp").glob("parts/*/*"))


def test_a_sidecar_ships_what_a_container_has_left(make_hosts: MakeHosts, tmp_path: Path) -> None:
    """The container has 64 MB of shared memory, less than its images. Its end kills the shipper of its program."""
    head_host, container, sidecar_host = make_hosts(3)
    container.start("mount", "-o", "remount,size=64m", "/dev/shm").check()
    script, parts = tmp_path / "images.py", tmp_path / "parts"
    script.write_text(IMAGES)
    environment = {**Head.environment, "RERUN_MP_PARTS_DIRECTORY": str(parts)}
    program = container.start(script, env=environment).check()
    assert "1 parts with 100 rows of this host are not at http://host1:9877 yet" in program.stderr
    container.kill()
    sidecar = sidecar_host.start(sys.executable, "-m", "rerun_mp", "ship", parts, "--follow", env=Head.environment)
    head = Head(head_host, tmp_path / "runs")
    wait_until(lambda: [node.acknowledged for node in head.nodes()] == [100], what="the part")
    for pid in sidecar_host.processes("rerun_mp ship"):
        os.kill(pid, signal.SIGTERM)
    assert sidecar.check().stdout == "shipped 1 parts with 100 rows\n"
    assert head.rows(tmp_path / "merged.rrd") == {"rank/0": 100}


def test_random_faults_lose_no_row(place: Path) -> None:
    """The same few faults in each run; `make soak` makes more."""
    result = run(place, faults=2, seed=5, secs_range=(0.0, 0.5))
    assert result.lacking == {}
    assert result.wrong == []
    assert result.stored > 0
    assert result.longest_secs < MAX_CALL_SECS
