"""Nodes that log to one head: rows and bytes a second, and the head's memory, beside plain rerun on the same hosts.

Hosts are namespaces of this machine, see `tests.harness.hosts`, so all of them share its processors. The time is from
the moment when all ranks begin until the head has every row: with rerun_mp in parts that are flushed to its disk, with
rerun in the file of `rerun --serve-grpc --save`, which is not flushed and forgets what a cut link loses.

With `--parts 100`, it measures queries of Rerun's catalog server over so many parts instead, and over one file with
the same rows. A query's time is the median of five, in this process, with rerun-sdk's client.

Usage: `python -m benchmarks.hosts [--nodes 1 2 4] [--ranks N] [--rows N] [--images N]`. It needs root and iproute2.
`python -m benchmarks.hosts --parts 100` needs neither, but `rerun-sdk[catalog]`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from rerun_mp.cli.catalog import DATASET, Catalog
from rerun_mp.shipping.parts import parts_below
from tests.field.held import held
from tests.harness.hosts import Host, HostProgram, hosts, hosts_missing
from tests.harness.programs import ROOT, wait_until
from tests.harness.recordings import RERUN_BINARY
from tests.harness.servers import saved_rows
from tests.harness.viewers import free_port
from tests.hosts.head import Head
from tests.hosts.launching import of_torchrun

IMAGE_BYTES = 640 * 480 * 3
ARRIVAL_SECS = 300.0
"""Seconds that the rows may take to arrive."""
QUIET_SECS = 2.0
"""Seconds after which rerun's server has written all that it has got."""
RANK = """
import fcntl, os, sys
import numpy as np
carrier, kind, rows, gate = sys.argv[1:]
if carrier == "rerun":
    import rerun as rr
    rr.init("rerun_mp_benchmark", recording_id="benchmark")
    rr.connect_grpc("rerun+http://host1:9876/proxy")
else:
    import rerun_mp as rr
    rr.init("rerun_mp_benchmark")
path = f"rank/{os.environ['RANK']}"
image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
rr.log("warm", rr.Scalars(0.0) if kind == "numbers" else rr.Image(image))
print("ready", flush=True)
with open(gate) as file:
    fcntl.flock(file, fcntl.LOCK_SH)
for step in range(int(rows)):
    rr.log(path, rr.Scalars(float(step)) if kind == "numbers" else rr.Image(image))
if carrier == "rerun":
    rr.disconnect()
"""


PART_ROWS = 10_000
"""Rows of each part for the catalog."""
PARTS = """
import sys, time
from pathlib import Path
import rerun_mp as rr
rr.init("rerun_mp_benchmark")
runs, parts, rows = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for part in range(parts):
    for step in range(part * rows, (part + 1) * rows):
        rr.set_time("step", sequence=step)
        rr.log(f"rank/{step % 8}", rr.Scalars(float(step)))
    rr.flush()
    while len(list(runs.glob("*/*/*.rrd"))) <= part < parts - 1:
        rr.log("wait", rr.Scalars(0.0))  # a part ends with a row that comes after its time
        rr.flush()
        time.sleep(0.02)
"""
QUERIES = 5
"""How often each query is made. The median counts."""


class Figures(NamedTuple):
    """One run."""

    carrier: str
    kind: str
    nodes: int
    rows_per_second: float
    megabytes_per_second: float
    logged_secs: float
    """Seconds until the last rank had ended."""
    head_megabytes: float
    """Maximum memory of the head's processes together."""


def main() -> None:
    """Run each carrier, workload and number of nodes once, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--ranks", type=int, default=1, help="ranks on each node")
    parser.add_argument("--rows", type=int, default=100_000, help="numbers of each rank")
    parser.add_argument("--images", type=int, default=200, help="images of each rank, of 0.9 MB")
    parser.add_argument("--only", choices=["rerun", "rerun_mp"], help="one carrier only")
    parser.add_argument("--parts", type=int, help="measure queries over so many parts, and nothing else")
    chosen = parser.parse_args()
    if chosen.parts is not None:
        with tempfile.TemporaryDirectory(prefix="rmp-hosts-") as place:
            measure_catalog(Path(place), chosen.parts)
        return
    if hosts_missing() is not None:
        sys.exit(f"this benchmark needs {hosts_missing()}")
    print("| carrier | rows | nodes | rows/s | MB/s | ranks ended after | memory of the head |\n" + "|---" * 7 + "|")
    for kind, rows in (("numbers", chosen.rows), ("images", chosen.images)):
        for nodes in chosen.nodes:
            for carrier in ("rerun_mp", "rerun") if chosen.only is None else (chosen.only,):
                if rows:
                    with tempfile.TemporaryDirectory(prefix="rmp-hosts-") as place:
                        one = measure(Path(place), carrier, kind, nodes, chosen.ranks, rows)
                    print(
                        f"| {one.carrier} | {one.kind} | {one.nodes} | {one.rows_per_second:,.0f} | "
                        f"{one.megabytes_per_second:,.1f} | {one.logged_secs:.1f} s | {one.head_megabytes:,.0f} MB |",
                        flush=True,
                    )


def measure(place: Path, carrier: str, kind: str, nodes: int, ranks: int, rows: int) -> Figures:
    """Run one carrier once."""
    gate, script, saved = place / "gate", place / "rank.py", place / "saved.rrd"
    script.write_text(RANK)
    with ExitStack() as stack:
        first, *machines = stack.enter_context(hosts(nodes + 1, place))
        start_line = stack.enter_context(ExitStack())
        start_line.enter_context(held(gate))
        if carrier == "rerun":
            first.start(RERUN_BINARY, "--serve-grpc", "--save", saved, "--bind", "0.0.0.0", "--port", "9876")
            wait_until(lambda: first.start("bash", "-c", "exec 3<>/dev/tcp/host1/9876").wait() == 0, what="the server")
            environment: dict[str, str] = {}
        else:
            environment = dict(Head(first, place / "runs").environment)
        programs = [
            start(machine, script, (carrier, kind, str(rows), gate), environment, node, rank, nodes, ranks)
            for node, machine in enumerate(machines)
            for rank in range(ranks)
        ]
        wait_until(lambda: all("ready" in program.stdout for program in programs), what="the ranks")
        begin = time.monotonic()
        start_line.close()
        for program in programs:
            program.check()
        logged_secs = time.monotonic() - begin
        expected = nodes * ranks * rows

        if carrier == "rerun":
            secs = await_quiet(saved) - begin
            found = sum(number for path, number in saved_rows(saved).items() if path.startswith("rank/"))
            assert found == expected, f"the server has {found} of {expected} rows"
        else:
            runs = place / "runs"
            wait_until(
                lambda: sum(part.rows for part, _ in parts_below(runs)) >= expected,
                timeout_secs=ARRIVAL_SECS,
                what="the rows",
            )
            secs = time.monotonic() - begin
        memory = peak_megabytes(first)
    num_bytes = expected * (IMAGE_BYTES if kind == "images" else 8)
    return Figures(carrier, kind, nodes, expected / secs, num_bytes / secs / 1e6, logged_secs, memory)


def measure_catalog(place: Path, parts: int) -> None:
    """Print how long queries over the parts of a program take, and how much memory the server needs."""
    runs, one, script = place / "runs", place / "one", place / "parts.py"
    script.write_text(PARTS)
    settings = {"RERUN_MP_SHIP_TO": runs, "RERUN_MP_PARTS_DIRECTORY": place / "parts", "RERUN_MP_PART_SECONDS": "0.3"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in settings.items()}}
    command = [sys.executable, script, runs, str(parts), str(PART_ROWS)]
    subprocess.run([str(part) for part in command], env=environment, check=True)
    found = sorted(path for _, path in parts_below(runs))
    merged = one / found[0].relative_to(runs)
    merged.parent.mkdir(parents=True)
    subprocess.run([RERUN_BINARY, "rrd", "merge", *found, "-o", merged], check=True, capture_output=True)
    print("| parts | registered after | count of all rows | mean of one entity | 100 steps of all | memory |")
    print("|---" * 6 + "|")
    for directory in (runs, one):
        with closing(Catalog(directory, free_port())) as catalog:
            registered = seconds(catalog.update)
            millis = [1000 * median_seconds(query) for query in queries(catalog, parts)]
            memory = peak_of(catalog.pid)
        count = len(list(directory.glob("*/*/*.rrd")))
        cells = [str(count), f"{registered:.2f} s", *(f"{value:,.0f} ms" for value in millis), f"{memory:,.0f} MB"]
        print("| " + " | ".join(cells) + " |", flush=True)


def queries(catalog: Catalog, parts: int) -> list[Callable[[], object]]:
    """Return the queries, each of which checks its result."""
    from datafusion import col, functions
    from rerun.catalog import CatalogClient

    dataset: Any = CatalogClient(catalog.url).get_dataset(DATASET)
    rows, column = parts * PART_ROWS, "/rank/0:Scalars:scalars"

    def count() -> None:
        found = dataset.reader(index="step").count()
        assert found == rows, f"{found} of {rows} rows"

    def mean() -> None:
        view = dataset.filter_contents(["/rank/0"]).reader(index="step")
        (value,) = view.aggregate([], [functions.avg(col(column)[0])]).to_pydict().popitem()[1]
        assert value == (rows - 8) / 2, value

    def some() -> None:
        view = dataset.reader(index="step")
        found = view.filter((col("step") >= rows // 2) & (col("step") < rows // 2 + 100)).count()
        assert found == 100, found

    return [count, mean, some]


def seconds(act: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    begin = time.monotonic()
    act()
    return time.monotonic() - begin


def median_seconds(query: Callable[[], object]) -> float:
    """Return how many seconds a query takes, as the median of `QUERIES`."""
    return statistics.median(seconds(query) for _ in range(QUERIES))


def start(
    host: Host,
    script: Path,
    arguments: tuple[str | Path, ...],
    environment: dict[str, str],
    node: int,
    rank: int,
    nodes: int,
    ranks: int,
) -> HostProgram:
    """Start a rank, as torchrun does."""
    return host.start(script, *arguments, env={**of_torchrun(node, rank, nodes, ranks), **environment})


def await_quiet(path: Path) -> float:
    """Wait until a file has not grown for `QUIET_SECS`, and return when it last grew, by the monotonic clock."""
    size, grew = -1, time.monotonic()
    while time.monotonic() < grew + QUIET_SECS:
        if path.stat().st_size != size:
            size, grew = path.stat().st_size, time.monotonic()
        time.sleep(0.01)
    return grew


def peak_megabytes(host: Host) -> float:
    """Return the maximum resident memory of the head's processes, added up."""
    return sum(peak_of(pid) for pid in {*host.processes("rerun_mp head"), *host.processes("serve-grpc")})


def peak_of(pid: int) -> float:
    """Return the maximum resident memory of a process in MB; 0 if it has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0) / 1000
    return 0.0


if __name__ == "__main__":
    main()
