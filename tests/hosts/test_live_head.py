"""Ranks on two hosts send to one server, as torchrun starts them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY
from tests.harness.servers import saved_rows
from tests.hosts.conftest import MakeHosts
from tests.hosts.head import Head
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


LAG = """
import base64, importlib, json, os, sys, time
carrier, url, seen = sys.argv[1:]
rr = importlib.import_module(carrier)
rr.init("rerun_mp_hosts", recording_id=carrier)
if carrier == "rerun":
    rr.connect_grpc(url)
lags, tail = [], b""
with open(seen, "rb") as file:
    for number in range(13):
        token = base64.b85encode(os.urandom(20))
        begin = time.monotonic()
        rr.log(f"lag/{carrier}", rr.TextLog(token.decode()))
        while token[4:-4] not in tail:  # compression may change the ends
            tail = tail[-100:] + file.read()
            time.sleep(0.001)
        if number >= 3:
            lags.append(time.monotonic() - begin)
        time.sleep(0.05)
print(json.dumps(lags))
"""
"""Measures how long a row takes until a viewer has it, which writes all that it gets to a file."""
HICCUPS = 2
"""Rows that may take longer, because the machine has halted for a moment."""
TIMES_OF_RERUN = 10
"""Limit of the lag on a machine that is so slow that rerun alone takes a tenth of a second, as a multiple of that."""


def test_the_live_view_follows_within_a_second(make_hosts: MakeHosts, tmp_path: Path) -> None:
    """Rerun's own logging from the same host says how slow the machine is just now."""
    machines = make_hosts(2)
    head, seen, script = Head(machines[0], tmp_path / "runs"), tmp_path / "seen.rrd", tmp_path / "lag.py"
    script.write_text(LAG)
    url = head.environment["RERUN_MP_HEAD"]
    machines[0].start(RERUN_BINARY, url, "--save", seen, "--bind", "127.0.0.1", "--port", "9999")
    wait_until(seen.exists, what="the viewer")
    programs = {
        name: machines[1].start(script, name, url, seen, env=head.environment) for name in ("rerun_mp", "rerun")
    }
    lags = {name: json.loads(program.check().stdout) for name, program in programs.items()}
    usual = sorted(lags["rerun_mp"])[:-HICCUPS]
    assert max(usual) < max(1.0, TIMES_OF_RERUN * max(lags["rerun"])), lags
