"""A receiver that is killed or frozen at a random moment and does not answer at the program's end.

What the program says at its end must be true: the receiver has at least the rows that the program calls acknowledged,
and the file that it names has all rows. The command that it names brings them to another receiver.
"""

from __future__ import annotations

import random
import re
import shlex
import time
from collections import Counter
from pathlib import Path

from tests.harness.programs import COMMAND, Program, wait_until
from tests.harness.recordings import rows_of
from tests.harness.servers import Server
from tests.harness.viewers import free_port

__all__ = ["run_receivers"]

LIMIT_SECS = 120.0
PROGRAM = """
import sys, time
import rerun_mp as rr
rr.init("app")
rr.connect_grpc(sys.argv[1])
for number in range(int(sys.argv[2])):
    rr.log("x", rr.Scalars(number))
    if number % 20 == 0:
        time.sleep(0.002)
    if number == 0:
        print("begun", flush=True)
"""


def run_receivers(own: Path, environment: dict[str, str], seed: str) -> tuple[Counter[str], int, int, int]:
    """Run a program in `own`. Returns the faults, and the rows that were returned, are lost, and occur twice.

    Raises
    ------
    AssertionError
        If a program failed, or has said what is not true.
    """
    choose = random.Random(seed)
    rows, fate = choose.randrange(200, 5000), choose.choice(("killed", "frozen"))
    first, second = Server(own / "first.rrd", free_port()), None
    try:
        first.wait_until_listening()
        program = Program(PROGRAM, first.url, str(rows), directory=own, env=environment, fresh=True)
        try:
            program.wait_for_output("begun", timeout_secs=LIMIT_SECS)
            time.sleep(choose.uniform(0.0, 0.3))
            if fate == "killed":
                first.process.kill()
            else:
                first.freeze()
            said = program.wait(timeout_secs=LIMIT_SECS).check().stderr
        finally:
            program.end()
        missing = re.search(r"has not acknowledged ([\d,]+) of ([\d,]+) rows of 'app'", said)
        if missing is None:
            return Counter({f"receiver {fate} after the last row": 1}), rows, 0, 0
        lacking, stored = (int(number.replace(",", "")) for number in missing.groups())
        assert stored == rows, said
        if fate == "frozen":  # one that is killed loses what it had in memory
            first.thaw()
            wait_until(
                lambda: first.rows().total() >= rows - lacking, timeout_secs=LIMIT_SECS, what="acknowledged rows"
            )
        command = re.search(r"Send them with: rerun-mp (.+)", said)
        assert command, said
        action, kept, _ = shlex.split(command[1])
        second = Server(own / "second.rrd", free_port())
        second.wait_until_listening()
        sender = Program(COMMAND, action, kept, second.url, directory=own, env=environment, fresh=True)
        assert f"{rows:,} rows" in sender.wait(timeout_secs=LIMIT_SECS).check().stdout
        found = Counter(row.row_id for row in rows_of(Path(kept)))
        other = second
        wait_until(lambda: other.rows().total() == len(found), timeout_secs=LIMIT_SECS, what="the rows that were sent")
        return Counter({f"receiver {fate}": 1}), rows, rows - len(found), found.total() - len(found)
    finally:
        first.end()
        if second is not None:
            second.end()
