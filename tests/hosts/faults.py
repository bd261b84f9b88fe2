"""Random faults on hosts that log to a head: `python -m tests.hosts.faults --faults 50 --seconds 1 60 --seed 1`.

Two nodes log without a pause, and a third host is the head. Links are cut, the head, whole hosts and collectors are
killed, and programs end while the head is away. After that everything is up again, and each row that a program has
seen stored must be at the head, once. The head's list must say so: each node has ended, and its rows are here.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rerun_mp.shipping.accounts import NodeAccount
from tests.harness.hosts import Host, HostProgram, hosts
from tests.harness.programs import wait_until
from tests.harness.recordings import count_rows
from tests.hosts.head import Head
from tests.hosts.launching import of_torchrun

__all__ = ["Result", "run"]

PROGRAM = """
import os, sys, time
import rerun_mp as rr
from tests.harness.waits import SleepClock
name, marks, gate = sys.argv[1:]
rr.init("rerun_mp_faults")
step, longest, clock = 0, 0.0, SleepClock()
while not os.path.exists(gate):
    for _ in range(50):
        rr.set_time("step", sequence=step)
        begin = clock.secs()
        rr.log(f"run/{name}", rr.Scalars(float(step)))
        longest = max(longest, clock.secs() - begin)
        step += 1
    rr.flush()
    with open(marks + ".new", "w") as file:
        file.write(f"{step} {longest}")
    os.replace(marks + ".new", marks)
    time.sleep(0.02)
"""
SETTINGS = {"RERUN_MP_PART_SECONDS": "0.5", "RERUN_MP_SHIP_TIMEOUT": "30"}


class Result(NamedTuple):
    """What a run has found."""

    faults: Counter[str]
    programs: int
    stored: int
    """Rows that programs have seen stored."""
    arrived: int
    """Rows at the head, each once."""
    lacking: dict[str, tuple[int, int]]
    """Program -> rows that it has seen stored, and rows at the head, if those are fewer."""
    wrong: list[NodeAccount]
    """Nodes of which the head's list says anything but that they have ended and all of their rows are here."""
    longest_secs: float
    """For how long a call of `log` has slept at most."""


class Node:
    """A host with one program at a time."""

    def __init__(self, host: Host, number: int, place: Path) -> None:
        self.host = host
        self._number = number
        self._place = place
        self._runs = 0
        self.start()

    def start(self) -> None:
        """Start the next program, and wait until it has rows stored."""
        self._runs += 1
        self._name = f"{self.host.name}-{self._runs}"
        self._gate, marks = self._place / f"{self._name}.gate", self._place / f"{self._name}.marks"
        script = self._place / "program.py"
        script.write_text(PROGRAM)
        variables = {**of_torchrun(self._number, 0, nodes=2, local=1), **Head.environment, **SETTINGS}
        self.program: HostProgram = self.host.start(script, self._name, marks, self._gate, env=variables)
        wait_until(lambda: marks.exists() or self.program.process.poll() is not None, what="rows")

    def end(self) -> None:
        """Let the program end, and check that it has named what is not at the head."""
        self._gate.touch()
        self.program.check()
        left = "rows of this host are not at" in self.program.stderr
        assert left or "Error" not in self.program.stderr, self.program.stderr

    def recover(self) -> None:
        """Complete what a killed host has left."""
        self.host.start(sys.executable, "-m", "rerun_mp", "recover").check()

    def ship(self) -> None:
        """Ship what is left."""
        command = (sys.executable, "-m", "rerun_mp", "ship", "--for=60")
        self.host.start(*command, env=Head.environment).check()


def run(place: Path, *, faults: int, seed: int, secs_range: tuple[float, float]) -> Result:
    """Run with so many faults, and return what was found. Short ones are more frequent than long ones."""
    min_secs, max_secs = secs_range
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    with hosts(3, place) as machines:
        head = Head(machines[0], place / "runs")
        nodes = [Node(machine, number, place) for number, machine in enumerate(machines[1:])]
        for _ in range(faults):
            fault = chance.choice(["cut", "cut", "head", "host", "collector", "shipper", "end"])
            node, secs = chance.choice(nodes), min_secs + chance.random() ** 2 * (max_secs - min_secs)
            counts[fault] += 1
            if fault == "cut":
                node.host.cut()
                time.sleep(secs)
                node.host.restore()
            elif fault == "head":
                head.end()
                time.sleep(secs)
                head.start()
            elif fault == "host":
                node.host.kill()
                node.host.boot()
                node.recover()
                node.start()
            elif fault == "collector":
                _kill(node.host, "rerun_mp.collector")
            elif fault == "shipper":
                node.host.cut()
                node.end()
                _kill(node.host, "rerun_mp ship")
                node.host.restore()
                node.start()
            else:
                head.end()
                node.end()
                head.start()
                node.start()
            time.sleep(chance.uniform(0, 0.5))
        for node in nodes:
            node.end()
            node.recover()
            node.ship()
        return _judge(place, head, counts)


def _kill(host: Host, text: str) -> None:
    for pid in host.processes(text):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _judge(place: Path, head: Head, counts: Counter[str]) -> Result:
    merged = head.merge(place / "merged.rrd")
    arrived = count_rows(merged, timeline="step", below="run/")
    marks = {path.stem: path.read_text().split() for path in place.glob("*.marks")}
    stored = {name: int(rows) for name, (rows, _) in marks.items()}
    lacking = {
        name: (rows, arrived.get(f"run/{name}", 0))
        for name, rows in stored.items()
        if arrived.get(f"run/{name}", 0) < rows
    }
    longest = max(float(secs) for _, secs in marks.values())
    wrong = [node for node in head.nodes() if node.state != "ended" or node.stored != node.acknowledged]
    return Result(counts, len(marks), sum(stored.values()), sum(arrived.values()), lacking, wrong, longest)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run once and print the result. Returns 1 if rows are lacking, or the head's list is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--seconds", type=float, nargs=2, default=(0.1, 10.0), help="minimum and maximum duration of a cut"
    )
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="rmp-faults-") as place:
        result = run(Path(place), faults=chosen.faults, seed=chosen.seed, secs_range=tuple(chosen.seconds))
    print(f"seed {chosen.seed}: {result}")
    return 1 if result.lacking or result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
