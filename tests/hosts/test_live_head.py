"""Ranks on two hosts send to one server, as torchrun starts them."""

from __future__ import annotations

from pathlib import Path

from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY
from tests.harness.servers import saved_rows
from tests.hosts.conftest import MakeHosts
from tests.hosts.launching import of_torchrun

RANK = """
import os, sys
import rerun_mp as rr
rr.init("rerun_mp_hosts", recording_id="one")
rr.connect_grpc(sys.argv[1])
for step in range(1000):
    rr.set_time("step", sequence=step)
    rr.log(f"rank/{os.environ['RANK']}", rr.Scalars(float(step)))
"""


def test_ranks_of_two_hosts_reach_one_server(make_hosts: MakeHosts, tmp_path: Path) -> None:
    head, other = make_hosts(2)
    saved, rank = tmp_path / "saved.rrd", tmp_path / "rank.py"
    rank.write_text(RANK)
    head.start(RERUN_BINARY, "--serve-grpc", "--save", saved, "--bind", "0.0.0.0", "--port", "9876")
    wait_until(lambda: head.start("bash", "-c", "exec 3<>/dev/tcp/host1/9876").wait() == 0, what="the server")
    url = "rerun+http://host1:9876/proxy"
    ranks = [
        host.start(rank, url, env=of_torchrun(node, local_rank))
        for node, host in enumerate((head, other))
        for local_rank in range(2)
    ]
    for one in ranks:
        one.check()
    wanted = {f"rank/{number}": 1000 for number in range(4)}
    wait_until(lambda: {path: saved_rows(saved)[path] for path in wanted} == wanted, what="all rows at the server")
