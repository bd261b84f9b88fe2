"""Nodes send to a head: live rows at once, and parts until the head has them, through any fault."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from rerun_mp.shipping.accounts import NodeAccount, node_accounts
from tests.harness.hosts import Host, HostProgram
from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY, count_rows
from tests.hosts.conftest import MakeHosts
from tests.hosts.test_live_head import of_torchrun

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
TOKEN = "secret of the test"


class Head:
    """A head on a host, over a directory that outlives it."""

    environment: Mapping[str, str] = {"RERUN_MP_HEAD": "rerun+http://host1:9876/proxy", "RERUN_MP_HEAD_TOKEN": TOKEN}
    """What the job's ranks have."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self.directory = directory
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.directory.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "rerun_mp", "head", "--dir", str(self.directory), "--bind", "0.0.0.0"]
        self.program = self.host.start(*command, env={"RERUN_MP_HEAD_TOKEN": TOKEN})
        wait_until(lambda: "export" in self.program.stdout, what="the head")

    def end(self) -> None:
        """Kill the head and its live view."""
        for pid in self.host.processes("serve-grpc") + self.host.processes("rerun_mp head"):
            subprocess.run(["kill", "-9", str(pid)], check=False)
        self.program.wait()

    def nodes(self) -> list[NodeAccount]:
        """Return what the head knows of its nodes."""
        return node_accounts(self.directory)

    def rows(self, merged: Path) -> Counter[str]:
        """Merge all parts of all nodes, and return the number of rows of each rank. Each row must be there once."""
        parts = sorted(self.directory.glob("*/*/*.rrd"))
        assert len({path.parents[1] for path in parts}) == 1, "one recording"
        subprocess.run([RERUN_BINARY, "rrd", "merge", *parts, "-o", merged], check=True, capture_output=True)
        found = count_rows(merged, timeline=None)
        return Counter({path: rows for path, rows in found.items() if path.startswith("rank/")})


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
    assert [rank.check().stderr for rank in ranks] == [""] * 2
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
