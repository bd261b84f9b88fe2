"""The recording has the log lines, output and exceptions of all processes, also of one that is killed.

python examples/integrations/lines_and_exceptions.py --out lines.rrd
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path

from rerun.chunk import RrdReader

import rerun_mp as rr
from rerun_mp.integrations.exceptions import capture_exceptions
from rerun_mp.integrations.logs import capture_logging, capture_warnings
from rerun_mp.integrations.output import capture_output
from rerun_mp.integrations.system import capture_system

LINES = 500
logger = logging.getLogger("my_app.worker")


def work(number: int) -> None:
    """Log lines; then return, raise, or be killed."""
    os.system(f"echo a shell of worker {number}")
    for line in range(LINES):
        logger.info("line %d of worker %d", line, number)
    if number == 1:
        raise ValueError("worker 1 has no idea what to do")
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run three workers, and count their lines in the recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("lines.rrd"))
    arguments = parser.parse_args()
    rr.init("rerun_mp_lines")
    rr.save(arguments.out)
    capture_logging(level="INFO")
    capture_warnings()
    capture_exceptions()
    capture_system(interval=0.2)
    output = capture_output()
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(number,), name=f"worker_{number}") for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    output.stop()
    rr.disconnect()
    texts = [
        text[0]
        for chunk in RrdReader(arguments.out).stream()
        if "TextLog:text" in chunk.to_record_batch().schema.names
        for text in chunk.to_record_batch().column("TextLog:text").to_pylist()
    ]
    lines = Counter(text.split("]")[0].strip("[") for text in texts if "line" in text and text.startswith("["))
    for worker in workers:
        print(f"{worker.name}: {lines[worker.name]} of {LINES} lines, ended with {worker.exitcode}")
    for text in texts:
        if "ValueError" in text or text.startswith("a shell") or "was killed by" in text:
            print(f"the recording says: {text.splitlines()[-1]}")
    raise SystemExit(0 if all(lines[worker.name] == LINES for worker in workers) else 1)


if __name__ == "__main__":
    main()
