"""A job's recording is the same on all of its hosts, and says which host and rank each row comes from."""

from __future__ import annotations

import subprocess
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

from tests.field.held import held
from tests.harness.hosts import HostProgram
from tests.harness.programs import wait_until
from tests.harness.recordings import RERUN_BINARY, recordings_in, rows_of
from tests.harness.servers import saved_rows
from tests.hosts.conftest import MakeHosts
from tests.hosts.launching import of_torchrun

RANK = """
import os, signal, subprocess, sys
import rerun_mp as rr
rr.init("rerun_mp_hosts")
rr.save(sys.argv[1])
rank = os.environ["RANK"]
for step in range(100):
    rr.log(f"rank/{rank}", rr.Scalars(float(step)))
# A child that has lost the variables of the job.
code = f"import rerun_mp as rr; rr.init('rerun_mp_hosts'); rr.log('child/{rank}', rr.Scalars(0.0)); rr.flush()"
kept = {name: os.environ[name] for name in os.environ if "RANK" not in name and "WORLD" not in name}
subprocess.run([sys.executable, "-c", code], env=kept, check=True)
if rank == "3" and not os.fork():
    rr.log("killed", rr.Scalars(0.0))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def values(row: Any) -> dict[str, Any]:
    """Return the named values of a row."""
    return {name: column.as_py()[0] for name, column in row.components.items()}


def test_hosts_of_a_job_have_one_recording_which_names_host_and_rank_of_each_row(
    make_hosts: MakeHosts, tmp_path: Path
) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    machines = make_hosts(2)
    ranks = [
        host.start(script, tmp_path / f"{host.name}.rrd", env=of_torchrun(node, local_rank))
        for node, host in enumerate(machines)
        for local_rank in range(2)
    ]
    assert [rank.wait() for rank in ranks] == [0] * 4
    files = [tmp_path / f"{host.name}.rrd" for host in machines]
    merged = tmp_path / "merged.rrd"
    subprocess.run([RERUN_BINARY, "rrd", "merge", *files, "-o", merged], check=True, capture_output=True)
    assert len(recordings_in(merged)) == 1
    rows = rows_of(merged, properties=True)
    processes = sorted(
        (values(row) for row in rows if "/processes/" in row.entity_path), key=lambda one: int(one["first_row"])
    )
    assert {(one["host"], one.get("rank"), one.get("local_rank")) for one in processes} == {
        ("host1", 0, 0),
        ("host1", 1, 1),
        ("host2", 2, 0),
        ("host2", 3, 1),
        ("host1", None, None),
        ("host2", None, None),
    }
    firsts = [one["first_row"] for one in processes]
    counts: Counter[tuple[str, str, int]] = Counter()
    for row in rows:
        if row.entity_path.startswith("rank/"):
            process = processes[bisect_right(firsts, int.from_bytes(row.row_id[8:], "big")) - 1]
            counts[row.entity_path, process["host"], process["rank"]] += 1
    assert counts == {(f"rank/{rank}", f"host{1 + rank // 2}", rank): 100 for rank in range(4)}
    assert Counter(row.entity_path for row in rows if row.entity_path.startswith("child/")) == {
        f"child/{rank}": 1 for rank in range(4)
    }
    (crash,) = [row for row in rows if row.entity_path.endswith("/crashes")]
    assert crash.entity_path == "__rerun_mp/host2/crashes"
    assert " on host2) was killed by SIGKILL" in crash.components["TextLog:text"].as_py()[0]


SERIES = """
import fcntl, os, sys
import rerun_mp as rr
from rerun_mp import figures
from rerun_mp.integrations.system import capture_system
from rerun_mp.integrations.workers import identify
path, gate = sys.argv[1:]
rr.init("rerun_mp_hosts", settings=rr.Settings(figures=0.1))
rr.save(path)
identify()
capture_system(0.1)
print(os.getpid(), *figures.blueprint().root_container.contents[1].contents, flush=True)
with open(gate) as file:
    fcntl.flock(file, fcntl.LOCK_SH)
"""


def wait_for_series(name: str, rank: HostProgram, path: Path) -> None:
    """Wait until the recording of a rank on the host `name` has the series of process, machine and session."""
    wait_until(lambda: rank.stdout.endswith("\n") or rank.process.poll() is not None, what="the rank")
    pid, *texts = rank.stdout.split()
    assert texts == [f"/__rerun_mp/{name}/crashes", f"/__rerun_mp/{name}/dropped"]
    expected = {
        f"processes/{name}/{pid}",
        f"system/{name}/processes/{pid}/cpu_percent",
        f"system/{name}/machine/cpu_percent",
        f"__rerun_mp/{name}/figures/ring_fill",
    }
    wait_until(lambda: expected <= set(saved_rows(path)), what=f"the series of {name}")


def test_series_of_each_host_stand_apart(make_hosts: MakeHosts, tmp_path: Path) -> None:
    """Processes of two hosts may have the same id. What they and their machines use are series of their own."""
    script, gate = tmp_path / "series.py", tmp_path / "gate"
    script.write_text(SERIES)
    machines = make_hosts(2)
    files = {host.name: tmp_path / f"{host.name}.rrd" for host in machines}
    with held(gate):
        ranks = {
            host.name: host.start(script, files[host.name], gate, env=of_torchrun(node, 0, local=1))
            for node, host in enumerate(machines)
        }
        for name, rank in ranks.items():
            wait_for_series(name, rank, files[name])
    for name, rank in ranks.items():
        rank.check()
        assert {path.split("/")[1] for path in saved_rows(files[name]) if not path.startswith("__properties")} == {name}
