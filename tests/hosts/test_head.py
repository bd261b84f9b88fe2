"""Nodes send to a head: live rows at once, and parts until the head has them, through any fault."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rerun_mp.shipping.targets import CONNECT_SECS
from tests.field.held import held
from tests.harness.hosts import Host, HostProgram
from tests.harness.programs import ROOT, SLOWNESS, wait_until
from tests.harness.recordings import RERUN_BINARY, rows_of
from tests.harness.servers import saved_rows
from tests.hosts.conftest import MakeHosts
from tests.hosts.head import Head
from tests.hosts.launching import of_torchrun

RANK = """
import fcntl, os, sys
import rerun_mp as rr
rr.init("rerun_mp_hosts")
rank, first, rows, *gates = sys.argv[1:]
for step in range(int(first), int(first) + int(rows)):
    rr.set_time("step", sequence=step)
    rr.log(f"rank/{rank}", rr.Scalars(float(step)))
rr.flush()
print("stored", flush=True)
for gate in gates:
    with open(gate) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
"""


def start_rank(
    host: Host, script: Path, node: int, rank: int, *arguments: str | Path, env: Mapping[str, str]
) -> HostProgram:
    """Start a rank, as torchrun does. There is one on each host."""
    return host.start(script, str(rank), *arguments, env={**of_torchrun(node, 0, local=1), **env})


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return the program of a rank."""
    path = tmp_path / "rank.py"
    path.write_text(RANK)
    return path


def test_parts_of_all_hosts_come_to_the_head(make_hosts: MakeHosts, script: Path, tmp_path: Path) -> None:
    machines = make_hosts(2)
    head = Head(machines[0], tmp_path / "runs")
    ranks = [
        start_rank(host, script, node, node, "0", "1000", env=head.environment) for node, host in enumerate(machines)
    ]
    for rank in ranks:
        rank.check()  # a busy machine may leave the parts to the shipper, and say so
    wait_until(lambda: [node.missing for node in head.nodes()] == [0, 0], what="the parts of both hosts")
    assert head.rows(tmp_path / "merged.rrd") == {"rank/0": 1000, "rank/1": 1000}
    assert [(node.host, node.state, node.missing) for node in head.nodes()] == [
        ("host1", "ended", 0),
        ("host2", "ended", 0),
    ]
    listed = subprocess.run(
        [sys.executable, "-m", "rerun_mp", "nodes", head.directory], capture_output=True, text=True, check=True
    )
    assert listed.stdout.count("ended, seen") == 2
    assert listed.stdout.count("stored 1,000  acknowledged 1,000 in 1 parts") == 2


def test_the_live_view_follows_and_a_frozen_head_costs_nothing(
    make_hosts: MakeHosts, script: Path, tmp_path: Path
) -> None:
    """Rows are at the live view while the program runs. Then the head is stopped, and the program logs and ends."""
    machines = make_hosts(2)
    head, gate, seen = Head(machines[0], tmp_path / "runs"), tmp_path / "gate", tmp_path / "seen.rrd"
    machines[0].start(
        RERUN_BINARY, Head.environment["RERUN_MP_HEAD"], "--save", seen, "--bind", "127.0.0.1", "--port", "9999"
    )
    with held(gate):
        rank = start_rank(machines[1], script, 1, 1, "0", "1000", gate, env=head.environment)
        wait_until(lambda: saved_rows(seen)["rank/1"] == 1000, what="the rows at the live view")
        assert rank.process.poll() is None
        head.freeze()
        late = start_rank(machines[1], script, 1, 1, "1000", "1000", env=head.environment)
        wait_until(lambda: "stored" in late.stdout, what="rows that are stored although the head is frozen")
    assert rank.wait() == late.wait() == 0
    head.thaw()
    wait_until(lambda: sum(node.acknowledged for node in head.nodes()) == 2000, what="the shippers")
    assert head.rows(tmp_path / "merged.rrd") == {"rank/1": 2000}


CLOCK = "__rerun_mp/host2/clock"
AHEAD = """
import time
real = time.time_ns
time.time_ns = lambda: real() + 100 * 10**9
"""


def test_the_recording_says_how_far_the_heads_clock_is_ahead(
    make_hosts: MakeHosts, script: Path, tmp_path: Path
) -> None:
    """The head's clock is 100 seconds ahead. Each sample is right to half of its delay."""
    machines = make_hosts(2)
    (tmp_path / "sitecustomize.py").write_text(AHEAD)
    head = Head(machines[0], tmp_path / "runs", {"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    gate = tmp_path / "gate"

    def samples(name: str) -> dict[int, float]:
        rows = (row for path in head.directory.glob("*/*/*.rrd") for row in rows_of(path))
        return {
            row.times["log_time"]: row.components["Scalars:scalars"].as_py()[0]
            for row in rows
            if row.entity_path == f"{CLOCK}/{name}"
        }

    with held(gate):
        environment = {**head.environment, "RERUN_MP_PART_SECONDS": "0.2"}
        rank = start_rank(machines[1], script, 1, 1, "0", "1", gate, env=environment)
        wait_until(lambda: samples("delay_seconds"), what="a sample")
    rank.check()
    offsets, delays = samples("offset_seconds"), samples("delay_seconds")
    assert offsets.keys() == delays.keys() != set()
    for time_ns, offset in offsets.items():
        assert 0 < delays[time_ns] < CONNECT_SECS * SLOWNESS
        assert abs(offset - 100) <= delays[time_ns] / 2 + 1e-6
