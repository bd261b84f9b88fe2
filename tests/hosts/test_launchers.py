"""Launchers start the processes of a job on two hosts: all rows come to the head, in one recording."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.examples.test_integrations import python_with_torch
from tests.harness.hosts import Host
from tests.harness.programs import ROOT, wait_until
from tests.harness.requirements import need_field
from tests.hosts.conftest import MakeHosts
from tests.hosts.head import Head
from tests.hosts.test_head import RANK

PROGRAM = RANK.replace("sys.argv[1:]", 'os.environ.get("RANK") or os.environ["OMPI_COMM_WORLD_RANK"], 0, 500')


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return the program of a rank, which takes no arguments."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def wait_for_rows(head: Head, rows: int) -> None:
    """Wait until all nodes have ended and so many rows are here."""
    wait_until(lambda: sum(node.acknowledged for node in head.nodes()) >= rows, what="the rows")


def torchrun(machines: list[Host], head: Head, program: Path) -> str:
    """Run a program with two ranks on each host, and return what they have written to standard error."""
    options = ["--nnodes=2", "--nproc_per_node=2", "--master_addr=host1", "--master_port=29500"]
    options += ["--redirects=0:1,1:1", "--tee=0:2,1:2"]
    places = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
    environment = {**head.environment, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
    agents = [
        host.start(
            python_with_torch(),
            "-W",
            "ignore",
            "-m",
            "torch.distributed.run",
            *options,
            f"--node_rank={node}",
            program,
            env=environment,
        )
        for node, host in enumerate(machines)
    ]
    return "".join(agent.check().stderr for agent in agents)


def test_torchrun(make_hosts: MakeHosts, program: Path, tmp_path: Path) -> None:
    """Without an id, a second run is the same recording. Rank 0 says so."""
    machines = make_hosts(2)
    head = Head(machines[0], tmp_path / "runs")
    said = torchrun(machines, head, program)
    assert said.count("the launcher gave this run no id") == said.count(", host1:29500, logs") == 1
    wait_for_rows(head, 2000)
    assert head.rows(tmp_path / "merged.rrd") == {f"rank/{rank}": 500 for rank in range(4)}
    torchrun(machines, head, program)
    wait_for_rows(head, 4000)
    parts = list(head.directory.glob("*/*/*.rrd"))
    assert len({path.parents[1] for path in parts}) == 1, "one recording"
    assert len({path.parents[0] for path in parts}) == 4, "two hosts, two runs"


REMOTE_SHELL = """
import socket, subprocess
with socket.create_server(("host2", 2222)) as server:
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        with connection, connection.makefile() as lines:
            command = lines.readline()
            subprocess.Popen(command, shell=True, stdin=connection, stdout=connection, stderr=connection)
"""


def test_mpirun(make_hosts: MakeHosts, program: Path, tmp_path: Path) -> None:
    """Open MPI's launcher agent brings a command to the other host, as ssh does."""
    machines = make_hosts(2)
    head = Head(machines[0], tmp_path / "runs")
    agent = tmp_path / "agent"
    agent.write_text('#!/bin/bash\nexec 3<>/dev/tcp/$1/2222\nshift\necho "$*" >&3\ncat <&3\n')
    agent.chmod(0o755)
    shell = tmp_path / "shell.py"
    shell.write_text(REMOTE_SHELL)
    server = machines[1].start(shell)
    wait_until(lambda: "ready" in server.stdout, what="the remote shell")
    command = [need_field("mpirun"), "--allow-run-as-root", "--oversubscribe", "-n", "4", "--map-by", "ppr:2:node"]
    command += ["--host", "host1:2,host2:2", "--mca", "plm_rsh_agent", str(agent), "--mca", "btl", "self,tcp"]
    for name in head.environment:
        command += ["-x", name]
    machines[0].start(*command, sys.executable, program, env=head.environment).check()
    wait_for_rows(head, 2000)
    assert head.rows(tmp_path / "merged.rrd") == {f"rank/{rank}": 500 for rank in range(4)}


RAY = """
import sys, time
import ray
import rerun_mp as rr
import rerun_mp.integrations.ray
ray.init(address="auto", log_to_driver=False, runtime_env=rerun_mp.integrations.ray.runtime_env("rerun_mp_ray"))
rr.init("rerun_mp_ray")

@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def task(number):
    for step in range(50):
        rr.set_time("step", sequence=step)
        rr.log(f"rank/{number}", rr.Scalars(float(step)))
    rr.flush()
    return ray.util.get_node_ip_address()

print(len(set(ray.get([task.remote(number) for number in range(8)]))), flush=True)
"""


def check_driver(host: Host, script: Path, head: Head) -> None:
    """Run a program that gives eight tasks to two hosts, and see that the head has the 50 rows of each."""
    driver = host.start(script, env={**head.environment, "RERUN_MP_PART_SECONDS": "0.5"}).check()
    assert driver.stdout.split()[-1] == "2", "tasks ran on both hosts"
    wait_for_rows(head, 400)
    assert head.rows(script.with_name("merged.rrd")) == {f"rank/{number}": 50 for number in range(8)}


def ray_node(host: Host, *options: str) -> None:
    """Start Ray on a host, before any program."""
    command = [need_field("ray"), "start", f"--node-ip-address={host.address}", "--num-cpus=2", "--disable-usage-stats"]
    host.start(*command, *options, "--object-store-memory=80000000").check()


def test_ray(make_hosts: MakeHosts, tmp_path: Path) -> None:
    need_field("ray")
    machines = make_hosts(2)
    head = Head(machines[0], tmp_path / "runs")
    ray_node(machines[0], "--head", "--port=6379", "--include-dashboard=false")
    ray_node(machines[1], "--address=host1:6379")
    script = tmp_path / "driver.py"
    script.write_text(RAY)
    check_driver(machines[0], script, head)


DASK = """
import sys
from distributed import Client, get_worker
import rerun_mp as rr
import rerun_mp.integrations.dask

def task(number):
    for step in range(50):
        rr.set_time("step", sequence=step)
        rr.log(f"rank/{number}", rr.Scalars(float(step)))
    rr.flush()
    return get_worker().ip

if __name__ == "__main__":
    client = Client("tcp://host1:8786")
    client.wait_for_workers(2)
    client.register_plugin(rerun_mp.integrations.dask.RerunPlugin("rerun_mp_dask"))
    rr.init("rerun_mp_dask")
    workers = list(client.scheduler_info()["workers"])
    futures = [client.submit(task, number, workers=[workers[number % 2]], pure=False) for number in range(8)]
    print(len(set(client.gather(futures))), flush=True)
    client.shutdown()
"""


def test_dask(make_hosts: MakeHosts, tmp_path: Path) -> None:
    need_field("distributed")
    machines = make_hosts(2)
    head = Head(machines[0], tmp_path / "runs")
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--host", "host1"]
    machines[0].start(*dask)
    for host in machines:
        options = ["tcp://host1:8786", "--no-dashboard", "--nworkers=1", "--nthreads=1", f"--host={host.address}"]
        host.start(sys.executable, "-m", "distributed.cli.dask_worker", *options)
    script = tmp_path / "client.py"
    script.write_text(DASK)
    check_driver(machines[0], script, head)
