"""A viewer gets a tenth of the rows, and small pictures. One file has everything, a small one no pictures.

python examples/rules.py --out rules.rrd
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path

import numpy as np

import rerun_mp as rr

RULES = [rr.Rule(path="camera/**", every=5, max_side=80, jpeg=75), rr.Rule(path="numbers/**", every=10)]
SMALL_RULES = [rr.Rule(path="camera/**", off=True), rr.Rule(path="numbers/**", every=20)]
ROWS = 100


def work(number: int) -> None:
    """Log numbers and pictures."""
    rows, columns = np.mgrid[:240, :320]
    for step in range(ROWS):
        rr.set_time("step", sequence=step)
        rr.log(f"numbers/{number}", rr.Scalars(np.sin(step / 10 + number)))
        if step % 10 == 0:
            gray = (columns + rows + 10 * step).astype(np.uint8)
            rr.log(f"camera/{number}", rr.Image(np.dstack([gray, gray // 2, 255 - gray])))


def main() -> None:
    """Run two workers, and print how many rows the files and the viewers' server have."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("rules.rrd"))
    arguments = parser.parse_args()
    rr.init("rerun_mp_rules")
    small = arguments.out.with_suffix(".small.rrd")
    rr.set_sinks(
        rr.FileSink(arguments.out), rr.FileSink(small, rules=SMALL_RULES), rr.GrpcServerSink(port=0, rules=RULES)
    )
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(work, range(2), chunksize=1)
    logged = 2 * (ROWS + ROWS // 10)
    while True:
        sinks = rr.statistics().sinks
        server = next((sink for sink in sinks if sink.kind == "serve"), None)  # none until the collector has started
        if server is not None and (server.acknowledged_rows or 0) + server.held_rows == logged:
            break
        time.sleep(0.05)
    print(f"stored {rr.statistics().stored}, sent {server.acknowledged_rows}, held back {server.held_rows}")
    held = sum(sink.held_rows for sink in sinks if sink.kind == "file")
    print(f"{small} has {logged - held} rows, and {held} are held back")


if __name__ == "__main__":
    main()
