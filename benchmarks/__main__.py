"""`python -m benchmarks`, or `make bench`: every benchmark. Options go to `hot_path`, which then runs alone.

All that is printed is also in `artifacts/bench.md`, and `artifacts/bench.svg` is drawn from it (`drawing`). Both are
written when all benchmarks have run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import drawing
from tests.harness.viewers import vulkan_missing

RESULTS = Path("artifacts/bench.md")


def main(options: list[str]) -> int:
    """Run all benchmarks, also after one has failed. Return the number of failures."""
    receiver = "server" if vulkan_missing() else "viewer"
    commands = [["start_up"], ["whole_programs"], ["usual"], ["hot_path"], ["frozen_viewer", "--receiver", receiver]]
    failed, printed = 0, ""
    for module, *arguments in [["hot_path", *options]] if options else commands:
        heading = f"## {module}\n\n"
        print(heading, end="", flush=True)
        printed += heading
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as benchmark:
            assert benchmark.stdout is not None
            for line in benchmark.stdout:
                print(line, end="", flush=True)
                printed += line
        failed += benchmark.returncode != 0
    if not options:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(printed, encoding="utf-8")
        drawing.main(str(RESULTS), str(RESULTS.with_suffix(".svg")))
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
