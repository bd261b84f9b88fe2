"""Many processes log and then idle while the first one logs on: idle_crowd.py FILE PROCESSES FIFO.

Says when all are idle and when every row is delivered. Ends when FIFO is written to.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.session.accounts import Account, read_accounts
from rerun_mp.session.waiting import wait_until


def idle(number: int, is_ready: int, hold: int) -> None:
    rr.set_time("process", sequence=number)
    rr.log("scalar", rr.Scalars(1.0))
    rr.log("text", rr.TextLog("here"))
    rr.log("points", rr.Points2D([[1.0, 2.0]]))
    os.write(is_ready, b"x")
    os.read(hold, 1)
    os._exit(0)


def accounts() -> list[Account]:
    session = current.session()
    assert session is not None
    return read_accounts(session.segment)


def main(path: str, processes: int, fifo: Path) -> None:
    rr.init("rerun_mp_idle")
    rr.save(path)
    ready, is_ready = os.pipe()
    hold, release = os.pipe()
    for number in range(processes):
        if os.fork() == 0:
            os.close(release)
            idle(number, is_ready, hold)
    here = 0
    while here < processes:
        here += len(os.read(ready, processes))
    print("all are idle", flush=True)
    for step in range(2000):
        rr.set_time("step", sequence=step)
        rr.log("another", rr.Scalars(float(step)))
    logged = 3 * processes + 2000
    assert wait_until(lambda: sum(account.delivered for account in accounts()) == logged, 60), accounts()
    print("all is delivered", flush=True)
    fifo.read_bytes()
    os.close(release)
    for _ in range(processes):
        os.wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
